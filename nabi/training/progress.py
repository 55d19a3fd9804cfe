"""How a training tells its caller how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""Called with the share of the training that is done, 0 to 1, and a line such as `step 12/90, loss 1.93`."""


def no_progress(share: float, message: str) -> None:
    """For callers that do not watch."""
