"""Samples as JSON lines, and a folder that is replaced as a whole. Equal content gives equal bytes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from nabi.datasets.samples import Sample
from nabi.errors import DataError

SomeSample = TypeVar("SomeSample", bound=Sample)


def write_lines(samples: Iterable[Sample]) -> bytes:
    """The samples as JSON lines: oldest first, UTF-8, LF, fields at their default left out."""
    ordered = sorted(samples, key=lambda sample: (sample.occurred_at, sample.conversation_id, sample.sample_id))
    rows = (json.dumps(s.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False) for s in ordered)
    return "".join(f"{row}\n" for row in rows).encode()


def read_samples(path: Path) -> list[Sample]:
    """The samples of a JSONL file, in its order; errors as in `read_rows`."""
    return read_rows(path, Sample)


def read_rows(path: Path, kind: type[SomeSample]) -> list[SomeSample]:
    """The samples of a JSONL file of one kind, in its order.

    Raises:
        DataError: no such file, not UTF-8, or a line that is no sample (named by its number).
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise DataError(
            "the dataset file is missing.", where=str(path), fix="Build the dataset, or check its version out with DVC."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 (byte {error.start}).", where=str(path), fix=_RESTORE) from error
    # Not splitlines(): it would also cut at U+2028 and the like, which JSON allows inside a string.
    lines = enumerate(text.split("\n"), 1)
    return [_read_line(line, kind, f"{path}, line {number}") for number, line in lines if line]


def replace_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Puts a folder with just these files in place of `folder`, whole or not at all.

    The files are on disk before anything moves. A crash between the two renames leaves the old folder aside
    under a dotted name; `recover_folder`, which also runs first here, puts it back.
    """
    recover_folder(folder)
    fresh, aside = _fresh(folder), _aside(folder)
    fresh.mkdir(parents=True)
    for name, content in files.items():
        with (fresh / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    if folder.exists():
        folder.rename(aside)
    fresh.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)


def recover_folder(folder: Path) -> None:
    """Undoes what an interrupted `replace_folder` left behind."""
    fresh, aside = _fresh(folder), _aside(folder)
    if aside.exists() and not folder.exists():
        aside.rename(folder)
    for leftover in (fresh, aside):
        if leftover.exists():
            shutil.rmtree(leftover)


_RESTORE = "Check its version out again with DVC, or build the dataset anew."


def _read_line(line: str, kind: type[SomeSample], where: str) -> SomeSample:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        rule = f"is no sample: {field}: {first['msg']}." if field else f"is no sample: {first['msg']}."
        raise DataError(rule, where=where, fix=_RESTORE) from error


def _fresh(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.fresh")


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.aside")
