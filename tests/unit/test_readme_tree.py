"""The READMEs name every module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_tree_in_the_readmes_is_current() -> None:
    done = subprocess.run([sys.executable, "scripts/make_tree.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
