"""How a reading of the machine reads."""

from __future__ import annotations

from nabi.resources.sensors import Gpu, Reading


def test_a_machine_without_a_gpu_says_why() -> None:
    assert str(Reading(12.3, 30.0, None, "no driver")) == "CPU 12 %, memory 30 %, no GPU (no driver)"


def test_a_gpu_is_shown_with_its_load_and_free_memory() -> None:
    gpu = Gpu("H200", 55.0, 100 * 2**30)
    assert str(Reading(1.0, 2.0, gpu, "")) == "CPU 1 %, memory 2 %, H200 55 %, 100.0 GiB free"
