"""Where a training stands, on the disk: a killed one goes on from its newest whole checkpoint.

    step-00000120.safetensors   weights, optimiser, orders and random states
    step-00000120.json          the rest, and the sha256 of both

The JSON file is written last: it is the mark of completeness. A checkpoint without it, or whose contents have another
digest, is torn and passed over. Nothing in them is pickled.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from nabi.conversations.records import Frozen

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

_KEPT = 2  # the newest, and the one before it in case the newest is torn
# Saving may take this share of the time: where it is slow, it is done less often.
_MAX_SHARE = 0.02


class Every(Frozen):
    """How often a training is saved. Whichever comes first counts."""

    seconds: float = Field(default=60.0, ge=0, description="at least so long between two checkpoints")
    steps: int | None = Field(default=None, ge=1, description="a checkpoint every so many steps, whatever the clock")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One state of a training: tensors by name, and plain values."""

    step: int
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one job.

    Args:
        folder: of this job alone; made with the first checkpoint.
        every: when `save_when_due` saves.
    """

    def __init__(self, folder: Path, every: Every) -> None:
        self._folder = folder
        self._every = every
        self._last, self._cost = time.monotonic(), 0.0

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint; torn ones are told in the log and passed over."""
        for mark in sorted(self._folder.glob("step-*.json"), reverse=True):
            if found := _read(mark):
                return found
            logger.warning("%s is torn and passed over", mark)
        return None

    def due(self, step: int) -> bool:
        """Whether a checkpoint after this step is worth its time."""
        if self._every.steps is not None and step % self._every.steps == 0:
            return True
        pause = max(self._every.seconds, self._cost / _MAX_SHARE)
        return time.monotonic() - self._last >= pause

    def save(self, checkpoint: Checkpoint) -> None:
        """Put a checkpoint on the disk for good; older ones than the one before go."""
        from safetensors.torch import save

        begun = time.monotonic()
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"step-{checkpoint.step:08d}"
        content = save({key: tensor.contiguous() for key, tensor in checkpoint.tensors.items()})
        mark = {"step": checkpoint.step, "facts": checkpoint.facts, "sha256": _digest(content, checkpoint.facts)}
        _write(self._folder / f"{name}.safetensors", content)
        _write(self._folder / f"{name}.json", json.dumps(mark).encode())
        for old in sorted(self._folder.glob("step-*.json"))[:-_KEPT]:
            old.unlink()
            old.with_suffix(".safetensors").unlink(missing_ok=True)
        self._last = time.monotonic()
        self._cost = self._last - begun

    def clear(self) -> None:
        """Remove all of them: the adapter stands, or the training cannot be gone on with."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _read(mark: Path) -> Checkpoint | None:
    from safetensors.torch import load

    try:
        told = json.loads(mark.read_bytes())
        content = mark.with_suffix(".safetensors").read_bytes()
        whole = told["sha256"] == _digest(content, told["facts"])
    except (ValueError, KeyError, FileNotFoundError):
        return None
    if not whole:
        return None
    return Checkpoint(step=told["step"], tensors=load(content), facts=told["facts"])


def _digest(content: bytes, facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(content + json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Write a file so that its name never stands for a part of it, not even after a power cut."""
    partial = path.with_suffix(path.suffix + ".partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
