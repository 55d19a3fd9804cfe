"""Resource readings: what counts as busy, and machines without a GPU."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from nabi.errors import ConfigError
from nabi.resources.sensors import Gpu, Limits, Reading, busy, read_resources


def reading(cpu: float = 10, memory: float = 10, gpu: float | None = None) -> Reading:
    card = Gpu(name="card", percent=gpu, memory_free_bytes=0)
    return Reading(cpu_percent=cpu, memory_percent=memory, gpu=card, gpu_note="")


def test_a_free_machine_is_not_busy() -> None:
    assert busy(reading(), Limits()) is None


def test_exactly_at_the_limit_is_not_above_it() -> None:
    assert busy(reading(cpu=85, memory=80, gpu=90), Limits()) is None


@pytest.mark.parametrize(
    ("load", "sentence"),
    [
        ({"cpu": 97}, "CPU 97 %, limit 85 %"),
        ({"memory": 81.2}, "memory 81 %, limit 80 %"),
        ({"gpu": 100}, "GPU 100 %, limit 90 %"),
        ({"cpu": 85.3}, "CPU 85.3 %, limit 85 %"),
        ({"cpu": 97, "gpu": 91}, "CPU 97 %, limit 85 %; GPU 91 %, limit 90 %"),
    ],
)
def test_what_is_above_its_limit_is_said_with_both_figures(load: dict[str, float], sentence: str) -> None:
    assert busy(reading(**load), Limits()) == sentence


def test_limits_can_be_set() -> None:
    assert busy(reading(cpu=97), Limits(cpu=100)) is None
    assert busy(reading(cpu=30), Limits(cpu=20)) == "CPU 30 %, limit 20 %"
    with pytest.raises(ValidationError):
        Limits(memory=120)


def test_a_gpu_that_does_not_tell_its_load_does_not_block() -> None:
    assert busy(reading(gpu=None), Limits()) is None


def test_this_machine_is_read_with_or_without_a_gpu() -> None:
    """The real sensors: either a GPU, or a note that says why there is none."""
    seen = read_resources(interval_seconds=0.05)
    assert 0 <= seen.cpu_percent <= 100
    assert 0 < seen.memory_percent <= 100
    assert seen.gpu is not None or seen.gpu_note


def test_a_hidden_gpu_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    seen = read_resources(interval_seconds=0.05)
    assert seen.gpu is None
    assert seen.gpu_note


def test_load_needs_a_span_of_time() -> None:
    with pytest.raises(ConfigError, match="needs a span of time"):
        read_resources(interval_seconds=0)
