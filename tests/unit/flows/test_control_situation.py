from __future__ import annotations

from pathlib import Path

import pytest

from flows.control import ControlLoop
from nabi.resources.monitor import LEAST_SECONDS, Monitor
from nabi.resources.sensors import Gpu, Reading
from nabi.settings import Settings
from nabi.wiring import Platform


@pytest.mark.parametrize(("every", "watched"), [(LEAST_SECONDS / 2, True), (LEAST_SECONDS / 4, False)])
def test_the_control_loop_goes_by_what_a_gpu_had_free_at_least_and_says_whether_it_has_watched(
    tmp_path: Path, every: float, watched: bool
) -> None:
    platform = Platform(Settings(home=tmp_path))
    monitor = Monitor(platform.limits)
    for number, free in enumerate((10, 2, 10)):
        monitor.add(Reading(5, 5, Gpu("card", 50, free), ""), number * every)
    situation = ControlLoop(None, platform, monitor)._situation()  # type: ignore[arg-type]
    assert (situation.saturated, situation.gpu_free_bytes, situation.watched) == (None, 2, watched)
    platform.database.close()
