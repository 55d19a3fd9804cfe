"""Which code made a thing: the commit, and whether the working tree differed from it."""

from __future__ import annotations

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


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False, timeout=20)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
