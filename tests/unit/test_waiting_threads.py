from __future__ import annotations

import os
import subprocess
import sys


def test_threads_of_a_process_that_uses_nabi_sleep_while_they_wait_unless_somebody_says_otherwise() -> None:
    def policy(**said: str) -> str:
        """What OpenMP itself says that it goes by."""
        environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
        told = subprocess.run(
            [sys.executable, "-c", "import nabi.wiring, torch"],
            env=environment | {"OMP_DISPLAY_ENV": "TRUE"} | said,
            capture_output=True,
            text=True,
            check=True,
        ).stderr
        (line,) = {line.split("=")[1].strip(" '") for line in told.splitlines() if "OMP_WAIT_POLICY" in line}
        return line

    assert policy() == "PASSIVE"
    assert policy(OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"
