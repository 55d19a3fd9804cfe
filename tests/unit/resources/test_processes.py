"""Telling one process from every other."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

from nabi.resources.processes import carries, is_alive, this_process


def test_this_process_lives_and_another_of_its_number_does_not() -> None:
    me = this_process()
    assert is_alive(me) is True
    assert is_alive(replace(me, born="another boot/1")) is False
    assert is_alive(replace(me, pid=2**22 - 1)) is False


def test_nobody_can_tell_about_another_host() -> None:
    assert is_alive(replace(this_process(), host="elsewhere")) is None


def test_a_process_is_found_by_what_it_carries_in_its_environment() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "print('here', flush=True); input()"],
        env={**os.environ, "MARK": "x"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()  # until then it may still carry the environment of its parent
        assert carries(child.pid, "MARK", "x")
        assert not carries(child.pid, "MARK", "y")
    finally:
        child.communicate()
    assert not carries(child.pid, "MARK", "x")
