"""Where and in which precision a training runs: the device decides, and says why."""

from __future__ import annotations

import time
from dataclasses import dataclass

from nabi.errors import OutOfMemory
from nabi.training.base_model import LARGE, BaseRef, pick_device, precision, training_precision
from nabi.training.hardware import free_memory
from nabi.training.memory import GIB, BaseShape, MemoryNeed, memory_needed, read_shape
from nabi.training.recipe import Recipe

# A frozen weight costs a product and a sum forward and again backward, for each token.
_OPERATIONS = 4
_SAMPLES, _TOKENS = 100, 256  # what the estimate of time speaks of
# A batch of more adapters gains no speed that anybody could tell, whatever the memory.
_MOST_ADAPTERS = 64


@dataclass(frozen=True, slots=True)
class Machine:
    """The device that a training would take.

    `precision` is what it multiplies fastest in, `gflops` how fast it multiplies matrices, where that matters.
    """

    device: str
    name: str
    free_bytes: int
    precision: str
    gflops: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a training does on a machine. `warning` is for people before it starts; None when there is none.

    `precision` is what it multiplies in.
    """

    device: str
    precision: str
    four_bit: bool
    need: MemoryNeed | None
    why: str
    warning: str | None = None


def this_machine() -> Machine:
    """The GPU where there is one, else the processor, whose speed is measured in some hundredths of a second."""
    import torch

    device = pick_device()
    if device == "cuda":
        return Machine(device, torch.cuda.get_device_name(), free_memory(device), precision(device))
    return Machine(device, "the CPU", free_memory(device), precision(device), _measured_gflops())


def plan_training(base: BaseRef, recipe: Recipe, machine: Machine, *, num_bad: int = 0) -> Plan:
    """What this machine does with this base: bf16 on a GPU with room, 4 bits on one with less, else the CPU.

    Args:
        base: to train over.
        recipe: of the adapter.
        machine: to train on.
        num_bad: answers marked bad that it learns from.

    Raises:
        OutOfMemory: the machine is too small however the base is held; the figures are in the message.
    """
    shape = read_shape(base)
    if shape is None:
        held = "4 bits" if recipe.four_bit else machine.precision
        why = f"{held} on {machine.name}; the base's size is not known yet"
        return Plan(machine.device, machine.precision, recipe.four_bit, None, why)
    if machine.device == "cuda":
        return _on_gpu(base, shape, recipe, machine, num_bad)
    return _on_cpu(base, shape, recipe, machine, num_bad)


def adapters_at_once(base: BaseRef, recipe: Recipe, machine: Machine, plan: Plan, *, rows: int, num_bad: int) -> int:
    """How many adapters like this one fit the machine's free memory as one batch, the base counted once; at least 1.

    One on a CPU, which is faster that way, and over a base whose size is not known.
    """
    shape = read_shape(base)
    if machine.device == "cpu" or shape is None:
        return 1

    def needed(adapters: int) -> int:
        return memory_needed(
            shape,
            recipe,
            device=machine.device,
            four_bit=plan.four_bit,
            rows=rows,
            num_bad=num_bad,
            adapters=adapters,
        ).total

    most = 1
    while most < _MOST_ADAPTERS and needed(most + 1) <= machine.free_bytes:
        most += 1
    return most


def _on_gpu(base: BaseRef, shape: BaseShape, recipe: Recipe, machine: Machine, num_bad: int) -> Plan:
    whole = memory_needed(shape, recipe, device="cuda", four_bit=False, num_bad=num_bad)
    if not recipe.four_bit and whole.total <= machine.free_bytes:
        return Plan(
            "cuda", machine.precision, False, whole, f"{machine.precision} on {machine.name}: {_fits(whole, machine)}"
        )
    quantised = memory_needed(shape, recipe, device="cuda", four_bit=True, num_bad=num_bad)
    smallest = memory_needed(shape, recipe, device="cuda", four_bit=True, rows=1, num_bad=num_bad)
    if smallest.total > machine.free_bytes:
        raise _too_small(base, smallest, machine)
    if recipe.four_bit:
        why = "as the recipe says"
    else:
        why = f"in {machine.precision} it would need {whole.total / GIB:.1f} GiB"
    return Plan(
        "cuda", machine.precision, True, quantised, f"4 bits on {machine.name}, {why}: {_fits(quantised, machine)}"
    )


def _on_cpu(base: BaseRef, shape: BaseShape, recipe: Recipe, machine: Machine, num_bad: int) -> Plan:
    need = memory_needed(shape, recipe, device="cpu", num_bad=num_bad)
    smallest = memory_needed(shape, recipe, device="cpu", rows=1, num_bad=num_bad)
    if smallest.total > machine.free_bytes:
        raise _too_small(base, smallest, machine)
    used = training_precision("cpu", shape.weights, machine.precision)
    held = "4 bits" if recipe.four_bit else used
    warning = None
    if shape.weights > LARGE:
        operations = _OPERATIONS * shape.weights * _SAMPLES * _TOKENS * recipe.epochs
        hours = operations / (machine.gflops * 1e9) / 3600
        warning = (
            f"{base.name} has {shape.weights / 1e9:.1f} billion weights and there is no GPU: {_SAMPLES} samples of"
            f" {_TOKENS} tokens take about {hours:.1f} hours at best. tiny-ko trains in minutes."
        )
    why = f"{held} on the CPU, no GPU answers: {_fits(need, machine)}"
    return Plan("cpu", used, recipe.four_bit, need, why, warning)


def _fits(need: MemoryNeed, machine: Machine) -> str:
    return f"needs {need}, {machine.free_bytes / GIB:.1f} GiB free"


def _too_small(base: BaseRef, smallest: MemoryNeed, machine: Machine) -> OutOfMemory:
    return OutOfMemory(
        f"a training over {base.name} needs {smallest} with one sample at a time, and {machine.name} has"
        f" {machine.free_bytes / GIB:.1f} GiB free",
        fix="Use a smaller base (NABI_BASE_MODEL=tiny-ko), recipe.recompute, a smaller r, or a larger machine.",
    )


def _measured_gflops() -> float:
    import torch

    width = 768
    left, right = torch.ones(width, width), torch.ones(width, width)
    torch.mm(left, right)
    begun = time.perf_counter()
    rounds = 3
    for _ in range(rounds):
        torch.mm(left, right)
    return float(2 * width**3 * rounds / (time.perf_counter() - begun) / 1e9)
