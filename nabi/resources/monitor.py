"""Whether the machine is saturated, judged over half a minute and with hysteresis, so that no single spike decides."""

from __future__ import annotations

from collections import deque

from nabi.resources.sensors import Gpu, Limits, Reading, above

WINDOW_SECONDS = 30.0
"""Readings older than this no longer count."""

LEAST_SECONDS = 8.0
"""With readings over a shorter span nothing is called saturated: a run that starts is a spike too."""

MARGIN = 5.0
"""Percentage points below its limit that a saturated figure must fall to. Without it runs would be held and let go
again by the second while a load moves about its limit."""


class Monitor:
    """Takes readings, and tells what is saturated."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._readings: deque[tuple[float, Reading]] = deque()
        self._saturated: frozenset[str] = frozenset()

    def add(self, reading: Reading, at: float) -> None:
        """Takes a reading.

        Args:
            at: seconds on a clock that only goes forward.
        """
        self._readings.append((at, reading))
        while self._readings[0][0] < at - WINDOW_SECONDS:
            self._readings.popleft()

    @property
    def can_tell(self) -> bool:
        """Whether it has watched for long enough to call anything saturated, or free."""
        return bool(self._readings) and self._readings[-1][0] - self._readings[0][0] >= LEAST_SECONDS

    def saturated(self) -> str | None:
        """The sentence that says which mean is above which limit; None when there is room."""
        if not self.can_tell:
            return None
        found = above(self.mean(), self._limits, dict.fromkeys(self._saturated, MARGIN))
        self._saturated = frozenset(found)
        return "; ".join(found.values()) or None

    def mean(self) -> Reading:
        """The mean of the readings; what a GPU has free is its least."""
        readings = [reading for _at, reading in self._readings]
        newest = readings[-1]
        return Reading(
            cpu_percent=_mean([reading.cpu_percent for reading in readings]),
            memory_percent=_mean([reading.memory_percent for reading in readings]),
            gpu=_mean_gpu([reading.gpu for reading in readings if reading.gpu]) if newest.gpu else None,
            gpu_note=newest.gpu_note,
        )


def _mean_gpu(gpus: list[Gpu]) -> Gpu:
    told = [gpu.percent for gpu in gpus if gpu.percent is not None]
    return Gpu(
        name=gpus[-1].name,
        percent=_mean(told) if told else None,
        memory_free_bytes=min(gpu.memory_free_bytes for gpu in gpus),
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
