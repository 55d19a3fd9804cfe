"""Notify: what a person must hear of goes out."""

from __future__ import annotations

from nabi.steps import notify as core
from nabi.steps.notify import Delivery
from nabi.wiring import get_platform
from tasks.resilience import step


@step("tell people", seconds=600, kept=False)
def deliver_notices() -> Delivery:
    return core.deliver_notices(get_platform())
