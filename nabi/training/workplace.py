"""Where an adapter is made: a folder that is gone if nothing came of it, and checkpoints that outlive a kill."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from nabi.errors import NabiError, OutOfMemory, TransientError
from nabi.training.adapter import Provenance
from nabi.training.checkpoint import Checkpoints, Every


@contextmanager
def workplace(out_dir: Path, provenance: Provenance, save_every: Every) -> Iterator[tuple[Path, Checkpoints]]:
    """An empty folder beside `out_dir`, to be renamed to it, and the training's checkpoints."""
    with _checkpoints(out_dir, provenance, save_every) as checkpoints, _partial(out_dir) as folder:
        yield folder, checkpoints


@contextmanager
def _checkpoints(out_dir: Path, provenance: Provenance, save_every: Every) -> Iterator[Checkpoints]:
    """This training's checkpoints. They outlive a kill and a lack of memory; nothing else needs them afterwards.

    The folder's name holds a digest of all that shapes the adapter: another job, another code or another library never
    goes on from them.
    """
    digest = hashlib.sha256(provenance.model_dump_json().encode()).hexdigest()
    checkpoints = Checkpoints(out_dir.parent / f"{_checkpoints_prefix(out_dir)}{digest[:16]}", save_every)
    try:
        yield checkpoints
    except NabiError as error:
        # A training that failed by its own would fail again from its last checkpoint.
        if not isinstance(error, OutOfMemory | TransientError):
            checkpoints.clear()
        raise
    remove_checkpoints(out_dir)


def remove_checkpoints(out_dir: Path) -> None:
    """Remove whatever checkpoints lie beside an adapter that stands."""
    for remains in out_dir.parent.glob(f"{_checkpoints_prefix(out_dir)}*"):
        shutil.rmtree(remains, ignore_errors=True)


def _checkpoints_prefix(out_dir: Path) -> str:
    return f".{out_dir.name}.checkpoints-"


@contextmanager
def _partial(out_dir: Path) -> Iterator[Path]:
    """A folder beside `out_dir` that is gone afterwards, unless it was renamed; remains of killed runs go too."""
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{out_dir.name}.partial-"
    for remains in out_dir.parent.glob(f"{prefix}[0-9]*"):
        owner = int(remains.name.removeprefix(prefix))
        if owner == os.getpid() or not psutil.pid_exists(owner):
            shutil.rmtree(remains, ignore_errors=True)
    partial = out_dir.parent / f"{prefix}{os.getpid()}"
    partial.mkdir()
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
