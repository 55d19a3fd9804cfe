"""Results kept on disk: made once for all processes, never stale, and never more than a matter of time."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from nabi.kept import KeptResults, code_of

FORM = TypeAdapter(list[str])


class Maker:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.num_made = 0

    def __call__(self) -> list[str]:
        self.num_made += 1
        return ["떡볶이", str(self.num_made)]


@pytest.fixture
def make() -> Maker:
    return Maker()


@pytest.fixture
def kept(tmp_path: Path) -> KeptResults:
    return KeptResults(tmp_path / "kept", most=3)


def files(kept: KeptResults) -> list[Path]:
    return sorted(kept.folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)


def test_it_is_made_once_and_read_by_the_next_process(kept: KeptResults, make: Maker) -> None:
    first = kept.get(("menu", 1), FORM, make)
    code = f"""
from pathlib import Path
from pydantic import TypeAdapter
from nabi.kept import KeptResults
print(KeptResults(Path({str(kept.folder)!r})).get(("menu", 1), TypeAdapter(list[str]), lambda: 1 / 0))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(first)


def test_whatever_else_it_is_made_from_is_another_result(kept: KeptResults, make: Maker) -> None:
    kept.get(("menu", 1), FORM, make)
    assert kept.get(("menu", 2), FORM, make) == ["떡볶이", "2"]
    assert kept.get(("menu", "1, 2"), FORM, make) != kept.get(("menu", 1, 2), FORM, make)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-5],
        lambda content: content.replace("떡볶이".encode(), "돈까스".encode()),
        lambda content: b"\xff" * len(content),
    ],
    ids=["empty", "half written", "changed", "no text"],
)
def test_a_file_that_is_not_as_it_was_written_is_made_anew_and_told_of(
    kept: KeptResults, make: Maker, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    kept.get(("menu",), FORM, make)
    (file,) = files(kept)
    file.write_bytes(damage(file.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert kept.get(("menu",), FORM, make) == ["떡볶이", "2"]
    assert "made anew" in caplog.text
    assert kept.get(("menu",), FORM, make) == ["떡볶이", "2"], "and the file is whole again"


def test_it_never_keeps_more_than_it_may_and_the_oldest_go(kept: KeptResults, make: Maker) -> None:
    kept.folder.mkdir()
    (kept.folder / "left by a killed process").write_text("half")
    for number in range(5):
        kept.get((number,), FORM, make)
        for age, file in enumerate(reversed(files(kept))):  # a file system's clock may be coarser than this test
            os.utime(file, ns=(0, 10**12 - age * 10**9))
    assert len(files(kept)) == 3
    num_made = make.num_made
    kept.get((4,), FORM, make)
    assert make.num_made == num_made, "the newest is still there"
    kept.get((0,), FORM, make)
    assert make.num_made == num_made + 1, "the first one went"


def test_where_nothing_can_be_written_it_is_made_each_time(
    tmp_path: Path, make: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "kept").write_text("a file where the folder should be")
    kept = KeptResults(tmp_path / "kept")
    assert kept.get(("menu",), FORM, make) == ["떡볶이", "1"]
    assert kept.get(("menu",), FORM, make) == ["떡볶이", "2"]
    assert "cannot be kept" in caplog.text


def test_code_is_known_by_its_sources_and_its_libraries(tmp_path: Path) -> None:
    folder, file = tmp_path / "package", tmp_path / "module.py"
    folder.mkdir()
    (folder / "a.py").write_text("a = 1")
    file.write_text("b = 1")

    def code(*libraries: str) -> str:
        code_of.cache_clear()
        return code_of(folder, file, libraries=libraries)

    before = code()
    assert code() == before
    assert code("pydantic") != before
    for changed in (folder / "a.py", file):
        text = changed.read_text()
        changed.write_text("c = 1")
        assert code() != before
        changed.write_text(text)
    (folder / "new.py").write_text("")
    assert code() != before
