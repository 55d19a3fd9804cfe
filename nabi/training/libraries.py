"""Libraries that a training leans on: what is missing is told before anything is loaded."""

from __future__ import annotations

import importlib.util
import re
import sys
from functools import cache
from pathlib import Path

from nabi.errors import ModelError


def require_libraries(*, four_bit: bool, asked: bool) -> None:
    """Check that adapters can be made, and over a base in 4 bits where one is needed.

    Args:
        four_bit: the base will be held in 4 bits.
        asked: because the recipe says so, not because the GPU is too small for more.

    Raises:
        ModelError: a library is not installed.
    """
    if importlib.util.find_spec("peft") is None:
        raise ModelError(
            "peft is not installed, and adapters are made with it",
            fix="Install it: `pip install peft` (`make setup` installs everything).",
        )
    if four_bit and importlib.util.find_spec("bitsandbytes") is None:
        why = "a base in 4 bits needs it" if asked else "only in 4 bits does the base fit the GPU's free memory"
        instead = "set recipe.four_bit to false" if asked else "close what else uses the GPU"
        raise ModelError(
            f"bitsandbytes is not installed, and {why}", fix=f"Install it: `pip install bitsandbytes`, or {instead}."
        )


@cache
def torch_knows_cuda() -> bool:
    """Whether the installed torch can use an NVIDIA GPU at all.

    Its own file of versions tells: importing torch takes more than a second, and the control loop does without.
    """
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        return False
    told = re.search(r"^cuda\b[^=\n]*=\s*(.+)$", Path(torch.origin).with_name("version.py").read_text(), re.MULTILINE)
    return told is None or told[1].strip() != "None"


def leave_out_bitsandbytes() -> None:
    """Make PEFT in this process take it for not installed, before PEFT is imported, where no base is held in 4 bits.

    PEFT imports it wherever it finds it: 1.2 of the 5.3 processor seconds of all imports of a training.
    """
    sys.modules["bitsandbytes"] = None  # type: ignore[assignment]  # what makes an import fail, by Python's own rule
