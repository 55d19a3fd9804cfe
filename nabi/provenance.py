"""Which code made a thing: the commit, and whether the working tree differed from it."""

from __future__ import annotations

import hashlib
import subprocess
from functools import cache
from pathlib import Path

UNKNOWN = "unknown"

# What a run itself rewrites says nothing about the code.
_WRITTEN_BY_RUNS = (":!datasets.dvc",)


@cache
def code_commit() -> str:
    """The checkout's commit, with `-dirty` when tracked files differ; `unknown` outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    head = _git(root, "rev-parse", "HEAD")
    if head is None:
        return UNKNOWN
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *_WRITTEN_BY_RUNS)
    return f"{head}-dirty" if changed else head


@cache
def lock_digest() -> str:
    """The sha256 of `requirements.lock`: which libraries the code was tested with; `unknown` where it does not lie."""
    lock = Path(__file__).resolve().parent.parent / "requirements.lock"
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else UNKNOWN


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False, timeout=20)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
