"""`nabi reproduce`: whether a recorded training can be done again, and comes out the same."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nabi.cli.output import AsJson, console, table_of


def reproduce(
    run: Annotated[
        str, typer.Argument(help="an MLflow run id, an adapter version, or a window: nabiyam@2026-07-01T03:00Z")
    ],
    as_json: AsJson = False,
) -> None:
    """Train again from a run's record and compare the adapters; exits non-zero when the same machine gives another."""
    from nabi.cli.progress import bar
    from nabi.steps.reproduce import reproduce as again
    from nabi.training.progress import no_progress
    from nabi.wiring import get_platform

    if as_json:
        done = again(get_platform(), run, no_progress)
        console.print_json(data=_as_data(done))
    else:
        with bar(f"training {run} again") as progress:
            done = again(get_platform(), run, progress)
        rows: list[dict[str, Any]] = [
            {"what": "sha256 of the weights", "then": done.digest_then[:16], "now": done.digest_now[:16]},
            {"what": "holdout loss", "then": done.holdout_then, "now": done.holdout_now},
            *({"what": name, "then": then, "now": now} for name, (then, now) in done.differing.items()),
        ]
        console.print(table_of(rows, done.adapter))
        console.print(done.sentence)
    if not done.equal and done.same_machine:
        raise typer.Exit(1)


def _as_data(done: Any) -> dict[str, Any]:
    told = {**vars(done), "differing": {name: list(pair) for name, pair in done.differing.items()}}
    return {**told, "equal": done.equal, "same_machine": done.same_machine, "sentence": done.sentence}
