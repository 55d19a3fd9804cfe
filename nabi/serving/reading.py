"""Adapters from the disk: verified in full the first time, and again as soon as any of their files may have changed.

A digest takes five times as long as the reading, so an adapter that comes back into memory again and again is not
asked for it each time. What stands for its content meanwhile is each file's device, inode, size, and times of its last
write and last change. The kernel sets the last of these, `ctime`, at every write, truncation and change of times or
rights, and gives nobody a way to set it back: whoever alters a file, and puts its old size and `mtime` back, is seen,
and so is a file or folder that was put in the place of another. Three ways around that are closed or narrow:

- A write in the same tick of the clock as the one before: an adapter that was written only just now is not remembered.
- A write while it is read: the file is looked at before and after, by the handle that was read through.
- What no write of a file does (a disk that rots, memory that a process of the server's own user has mapped): no verdict
  is older than `_TRUSTED_S`.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nabi.serving.blocks import Block
from nabi.training.adapter import WEIGHTS, AdapterManifest, WeightsFile, load_verified, weights_file
from nabi.training.base_model import BaseRef

_TRUSTED_S = 3600.0
"""How long a verdict stands without a look at the content."""

_SETTLED_S = 0.1
"""Ticks of a file system's clock are shorter, by ten times."""

_MOST_KNOWN = 1024
"""Verdicts kept, the latest ones. One takes some 30 KB."""

_BUFFERS_AT_ONCE = os.sysconf("SC_IOV_MAX")

_Identity = tuple[int, int, int, int, int]


class Rooms(Protocol):
    """Who has memory to read weights into: `AdapterSlots`."""

    def room(self, weights: WeightsFile) -> Block | None: ...


@dataclass(frozen=True, slots=True)
class _Verdict:
    """An adapter that was found good, and the files which that holds for."""

    manifest: AdapterManifest
    weights: WeightsFile
    files: dict[str, _Identity]
    until: float


class AdapterReader:
    """Reads adapters of one base. For any number of threads.

    Args:
        base: which base they must be made for.
        rooms: where weights may be read into straight away.
    """

    def __init__(self, base: BaseRef, rooms: Rooms) -> None:
        self._base = base
        self._rooms = rooms
        self._known: OrderedDict[Path, _Verdict] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, folder: Path) -> tuple[AdapterManifest, Mapping[str, Any]]:
        """An adapter's manifest and its weights, name → tensor: a block of the slots where they have one.

        Raises:
            ModelError: it fails `verify_adapter`.
        """
        known = self._known.get(folder)
        if known is not None and time.monotonic() < known.until:
            tensors = self._read_again(folder, known)
            if tensors is not None:
                return known.manifest, tensors
        before = _identities(folder)
        manifest, tensors = load_verified(folder, self._base)
        if before and _is_settled(before) and before == _identities(folder):
            verdict = _Verdict(manifest, weights_file(folder, tensors), before, time.monotonic() + _TRUSTED_S)
            self._remember(folder, verdict)
        return manifest, tensors

    def _read_again(self, folder: Path, known: _Verdict) -> Mapping[str, Any] | None:
        """The weights of files that stayed as they were; None when they did not."""
        if _identities(folder) != known.files:
            return None
        block, content = self._rooms.room(known.weights), b""
        try:
            with (folder / WEIGHTS).open("rb", buffering=0) as file:
                if block is None:
                    content = file.read()
                else:
                    _fill(block.parts_of(known.weights), file.fileno(), known.weights.start)
                if _identity(os.fstat(file.fileno())) != known.files[WEIGHTS]:
                    return None
        except OSError:
            return None  # who verifies it anew tells what is wrong
        return _parsed(content) if block is None else block

    def _remember(self, folder: Path, verdict: _Verdict) -> None:
        with self._lock:
            self._known[folder] = verdict
            self._known.move_to_end(folder)
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)


def _identities(folder: Path) -> dict[str, _Identity] | None:
    """What stands for the content of each entry of a folder; None when one is no plain file, or cannot be looked at."""
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: entry.stat() for entry in entries}
    except OSError:
        return None  # what is wrong is told by who reads the files
    if not all(stat.S_ISREG(state.st_mode) for state in found.values()):
        return None
    return {name: _identity(state) for name, state in found.items()}


def _identity(state: os.stat_result) -> _Identity:
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def _is_settled(files: Mapping[str, _Identity]) -> bool:
    return max(changed for *_, changed in files.values()) < time.time_ns() - _SETTLED_S * 1e9


def _parsed(content: bytes) -> dict[str, Any]:
    from safetensors.torch import load

    tensors: dict[str, Any] = load(content)
    return tensors


def _fill(buffers: list[memoryview], handle: int, start: int) -> None:
    """Reads what follows one another in a file to where each part of it belongs. A shorter file leaves some of them
    unread: its identity is another one, too."""
    for first in range(0, len(buffers), _BUFFERS_AT_ONCE):
        some = buffers[first : first + _BUFFERS_AT_ONCE]
        start += os.preadv(handle, some, start)
