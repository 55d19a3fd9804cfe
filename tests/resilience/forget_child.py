"""`nabi forget` in a process that ends itself, or is ended, in the middle. Run by `runpy` in a forked child.

Globals: HOME, WORDS (the command line), KILL_AT (number of the file operation before which to die; 0: never),
COUNT_TO (where to write how many there were; empty: nowhere).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

_OPERATIONS = frozenset({"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "shutil.rmtree"})


def _die_in_the_middle(home: str, kill_at: int) -> list[int]:
    num = [0]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        # Only what happens in the installation: imports open thousands of other files.
        if event in _OPERATIONS and str(arguments[0]).startswith(home):
            num[0] += 1
            if num[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    return num


def main(home: str, words: list[str], kill_at: int, count_to: str) -> None:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    os.environ["NABI_HOME"] = home
    os.environ["DVC_SITE_CACHE_DIR"] = f"{home}/.dvc/site"
    num = _die_in_the_middle(home, kill_at)
    from nabi.cli.app import app

    app(words, standalone_mode=False)
    if count_to:
        Path(count_to).write_text(str(num[0]))
    os._exit(0)  # nothing is left to do, and the exit handlers of a forked child are not ours to run


given = globals()
main(given["HOME"], given["WORDS"], given["KILL_AT"], given["COUNT_TO"])
