"""Saturation over half a minute: no spike decides, and nothing flutters about a limit."""

from __future__ import annotations

from nabi.resources.monitor import MARGIN, WINDOW_SECONDS, Monitor
from nabi.resources.sensors import Gpu, Limits, Reading


def reading(cpu: float = 0, memory: float = 0, gpu: float | None = None, free: int = 0) -> Reading:
    return Reading(cpu, memory, None if gpu is None else Gpu("card", gpu, free), "no driver")


def fed(*loads: float, every: float = 2.0) -> Monitor:
    monitor = Monitor(Limits())
    for number, load in enumerate(loads):
        monitor.add(reading(load), number * every)
    return monitor


def test_a_spike_saturates_nothing() -> None:
    assert fed(10, 10, 10, 100, 100, 10).saturated() is None


def test_a_machine_that_is_busy_on_average_is_saturated_and_the_figure_is_the_mean() -> None:
    assert fed(*([100, 90] * 8)).saturated() == "CPU 95 %, limit 85 %"


def test_too_few_readings_say_nothing() -> None:
    assert fed(100, 100, 100).saturated() is None
    assert Monitor(Limits()).saturated() is None


def test_old_readings_no_longer_count() -> None:
    monitor = fed(*[100] * 10)
    for number in range(20):
        monitor.add(reading(5), 20 + number * 2)
    assert monitor.mean().cpu_percent == 5
    assert monitor.saturated() is None


def test_it_stays_saturated_until_it_is_clearly_below_the_limit() -> None:
    monitor = fed(*[90] * 10)
    assert monitor.saturated() is not None
    second = 20.0
    for load, saturated in ((83.0, True), (85 - MARGIN - 1, False), (83.0, False), (86.0, True)):
        for _ in range(int(WINDOW_SECONDS)):
            monitor.add(reading(load), second)
            second += 2
        assert (monitor.saturated() is not None) is saturated, load


def test_a_figure_that_was_never_above_its_limit_holds_nobody_up() -> None:
    monitor = Monitor(Limits(memory=50))
    for second in range(10):
        monitor.add(reading(82, memory=55), second)
    assert monitor.saturated() == "memory 55 %, limit 50 %"
    for second in range(100, 110):
        monitor.add(reading(82, memory=30), second)
    assert monitor.saturated() is None


def test_memory_and_gpu_have_their_own_limits() -> None:
    monitor = Monitor(Limits(memory=50, gpu=60))
    for second in range(10):
        monitor.add(reading(memory=55, gpu=70), second)
    assert monitor.saturated() == "memory 55 %, limit 50 %; GPU 70 %, limit 60 %"


def test_what_a_gpu_has_free_is_its_least_of_late() -> None:
    monitor = Monitor(Limits())
    for second, free in enumerate((10, 2, 10)):
        monitor.add(reading(gpu=50, free=free), second)
    gpu = monitor.mean().gpu
    assert gpu is not None
    assert gpu.memory_free_bytes == 2
