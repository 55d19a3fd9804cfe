"""Progress in the terminal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from nabi.cli.output import console


@contextmanager
def bar(title: str) -> Iterator[Callable[[float, str], None]]:
    """A bar that the yielded callback moves: (share 0..1, message)."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[message]}"), console=console) as progress:
        task = progress.add_task(title, total=1.0, message="")
        yield lambda share, message: progress.update(task, completed=share, message=message)


class ConsoleHandler(logging.Handler):
    """Prints what the loop reports (logger `nabi.progress`) as plain lines."""

    def emit(self, record: logging.LogRecord) -> None:
        style = "red" if record.levelno >= logging.ERROR else None
        console.print(f"  {record.getMessage()}", style=style, markup=False)


@contextmanager
def progress_lines() -> Iterator[None]:
    """Shows the loop's progress lines while the block runs."""
    logger = logging.getLogger("nabi.progress")
    handler = ConsoleHandler()
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
