"""A small platform whose steps a test calls itself, one after the other, in its own process."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from minute_base import build_tiny_base
from small_platform import plant_small_home

from nabi.registry.leases import persona_lease
from nabi.steps import train
from nabi.training.train import train_adapter
from nabi.wiring import Platform


@contextmanager
def taught_platform(folder: Path, persona: str, empty_mlflow: Path) -> Iterator[Platform]:
    """Sixty conversations of one persona over a minute base; the persona's lease is the test's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
        # Seconds of imports less, and none beside it.
        patch.setattr(train, "train_in_own_process", lambda job, report, meanwhile: train_adapter(job, report))
        platform = plant_small_home(folder / "home", persona, base=build_tiny_base(folder / "base" / "minute"), num=60)
        shutil.copyfile(empty_mlflow, platform.settings.state / "mlflow.db")
        platform.holding.take([persona_lease(persona)], "the test")
        yield platform
        platform.database.close()
