"""Steps that make something of people's words hold the guard, so that no deletion runs while they do."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from nabi.database.guard import guarded
from nabi.wiring import Platform

P = ParamSpec("P")
R = TypeVar("R")


def uses_words(step: Callable[Concatenate[Platform, P], R]) -> Callable[Concatenate[Platform, P], R]:
    """A step that runs only while nothing is being deleted; steps run beside each other as before."""

    @wraps(step)
    def guarded_step(platform: Platform, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with guarded(platform.database):
            return step(platform, *args, **kwargs)

    return guarded_step
