"""Libraries that a training leans on: what is missing is told before anything is loaded."""

from __future__ import annotations

import importlib.util
import sys

from nabi.errors import ModelError

_REMEDIES = {
    "peft": "Install it: `pip install peft` (`make setup` installs everything).",
    "bitsandbytes": "Install it: `pip install bitsandbytes`, or set recipe.four_bit to false.",
}


def require_libraries(*, four_bit: bool) -> None:
    """Check that adapters can be made, and over a base in 4 bits if asked.

    Raises:
        ModelError: a library is not installed.
    """
    needed = {"peft": "adapters are made with it", "bitsandbytes": "a base in 4 bits needs it"}
    for name, why in needed.items():
        if (four_bit or name != "bitsandbytes") and importlib.util.find_spec(name) is None:
            raise ModelError(f"{name} is not installed, and {why}", fix=_REMEDIES[name])


def leave_out_bitsandbytes() -> None:
    """Make PEFT in this process take it for not installed, before PEFT is imported, where no base is held in 4 bits.

    PEFT imports it wherever it finds it: 1.2 of the 5.3 processor seconds of all imports of a training.
    """
    sys.modules["bitsandbytes"] = None  # type: ignore[assignment]  # what makes an import fail, by Python's own rule
