"""One pass of the loop in a process that ends itself, or is ended, in the middle. Run by `runpy` in a forked child.

The steps are the product's; results of finished ones are kept in files, written whole, as Prefect keeps them. Training
runs in this process instead of in one of its own, or its imports would catch most of the kills.

Globals: HOME, PERSONA, AS_OF, DEPLOY (whether to deploy what the gate kept out: the step is what is tried, not the
gate), KILL_AT (number of the file operation before which to die; 0: never), COUNT_TO (file for how many there were).
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

_OPERATIONS = frozenset({"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "shutil.rmtree"})


def _die_in_the_middle(home: str, kill_at: int) -> list[int]:
    num = [0]

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _OPERATIONS and str(arguments[0]).startswith(home):
            num[0] += 1
            if num[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    return num


def _kept(folder: Path) -> Callable[..., Any]:
    """Calls a step, or gives the result of the call that finished before a kill."""

    def call(step: Callable[..., Any], *arguments: Any) -> Any:
        result = folder / f"{step.__module__}.{step.__name__}"
        if result.exists():
            return pickle.loads(result.read_bytes())
        value = step(*arguments)
        fresh = result.with_suffix(".fresh")
        fresh.write_bytes(pickle.dumps(value))
        fresh.replace(result)
        return value

    return call


def play(home: str, persona: str, as_of: datetime, deploy: bool) -> None:
    """The loop's steps in its order, with the personas' leases as the flow takes them."""
    from nabi.registry.leases import persona_lease
    from nabi.settings import Settings
    from nabi.steps import bootstrap, collect, conclude, evaluate, snapshot, train
    from nabi.steps.window import Window
    from nabi.training.train import train_adapter
    from nabi.wiring import Platform

    train.train_in_own_process = lambda job, on_progress, meanwhile: train_adapter(job, on_progress)
    platform = Platform(Settings(home=Path(home), threads=1))
    results = Path(home) / "results"
    results.mkdir(exist_ok=True)
    call = _kept(results)
    window = Window(persona_id=persona, as_of=as_of)
    assert not platform.holding.take([persona_lease(persona)], "the run")
    if collect.open_window(platform, window) is not None:
        return
    kept = call(collect.keep_usable, platform, call(collect.collect, platform, window))
    filled = call(bootstrap.fill_up, platform, kept)
    assert call(bootstrap.why_not_train, platform, filled) is None
    taken = call(snapshot.take_snapshot, platform, filled)
    candidate = call(train.train_candidate, platform, taken, None, lambda _share, _message: None)
    judged = call(conclude.judge, platform, call(evaluate.evaluate_candidate, platform, candidate))
    call(conclude.deploy if deploy else conclude.keep, platform, judged)


def main() -> None:
    given = globals()
    silence = os.open(given["LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    os.environ["NABI_HOME"] = given["HOME"]
    os.environ["DVC_SITE_CACHE_DIR"] = f"{given['HOME']}/.dvc/site"
    num = _die_in_the_middle(given["HOME"], given["KILL_AT"])
    play(given["HOME"], given["PERSONA"], given["AS_OF"], given["DEPLOY"])
    if given["COUNT_TO"]:
        Path(given["COUNT_TO"]).write_text(str(num[0]))
    sys.stdout.flush()
    os._exit(0)  # nothing is left to do, and the exit handlers of a forked child are not ours to run


main()
