"""Imports made ahead: there when the block ends, and one that fails there fails again where it is needed."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nabi.steps.ahead import importing


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose modules can be imported, until the test ends."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_modules_are_imported_beside_the_block_which_waits_for_them(modules: Path) -> None:
    (modules / "ahead_slow.py").write_text("import time, threading\ntime.sleep(0.2)\nby = threading.current_thread()")
    with importing(["ahead_slow"]):
        assert "by" not in vars(sys.modules.get("ahead_slow", object)), "the block does not wait for it"
    assert sys.modules["ahead_slow"].by is not threading.current_thread()


def test_a_module_that_fails_is_told_of_and_fails_again_where_it_is_needed(
    modules: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (modules / "ahead_broken.py").write_text("raise ImportError('libfoo.so is missing')")
    (modules / "ahead_fine.py").write_text("")
    with caplog.at_level(logging.WARNING), importing(["ahead_broken", "ahead_fine"]):
        pass
    assert "ahead_broken cannot be imported ahead of its use: libfoo.so is missing" in caplog.text
    assert "ahead_fine" in sys.modules
    with pytest.raises(ImportError, match=r"libfoo\.so is missing"):
        __import__("ahead_broken")


def test_an_error_of_the_block_is_the_blocks_own(modules: Path) -> None:
    (modules / "ahead_other.py").write_text("")
    with pytest.raises(KeyError, match="the block's"), importing(["ahead_other"]):
        raise KeyError("the block's")
    assert "ahead_other" in sys.modules
