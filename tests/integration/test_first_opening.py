"""A new installation's first MLflow requests may come from several processes at once: a server, a run, a command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_OPENED = """
import sys
from pathlib import Path
from nabi.integrations.mlflow_tracking import Tracker
print("ready", flush=True)
sys.stdin.readline()
assert Tracker(sys.argv[1], Path(sys.argv[2])).versions("nobody") == []
"""


def test_processes_that_open_an_empty_store_at_once_all_get_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _OPENED, f"sqlite:///{tmp_path}/var/mlflow.db", str(tmp_path / "mlruns")]
    pipe = subprocess.PIPE
    openers = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path) for _ in range(3)
    ]
    for opener in openers:
        assert opener.stdout is not None
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("go\n")
        opener.stdin.flush()
    errors = [opener.communicate(timeout=120)[1] for opener in openers]
    assert [opener.returncode for opener in openers] == [0, 0, 0], errors
