"""`nabi tour`: the shipped example from thin logs to an adapter that improved. `make run` plays it."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from pydantic import Field, ValidationError

from nabi.cli.chat import ask_side_by_side, open_talk
from nabi.cli.learn import ingest_report, play_windows, windows_table
from nabi.cli.output import console, show, table_of
from nabi.control.backfill import window_ends
from nabi.conversations.records import Frozen, Moment
from nabi.errors import ConfigError

if TYPE_CHECKING:
    from nabi.wiring import Platform


class Tour(Frozen):
    """A tour's plan, read from YAML. Paths are relative to the file."""

    persona: str
    start: Moment = Field(alias="from")
    end: Moment = Field(alias="to")
    logs: tuple[Path, ...]
    asked_at: Moment
    questions: tuple[str, ...]


def tour(plan: Annotated[Path, typer.Argument(help="what to play")] = Path("examples/tour.yaml")) -> None:
    """Plays the windows of a plan on its logs, then asks base, first adapter and champion the same questions."""
    from nabi.wiring import get_platform

    played = read_plan(plan)
    platform = get_platform()
    persona = platform.persona(played.persona)
    console.rule(f"1 · conversations of {persona.id}")
    for log in played.logs:
        _bring_in(plan.parent / log)
    console.rule("2 · four windows of the loop")
    ends = window_ends(played.start, played.end, timedelta(hours=6))
    play_windows([persona.id], ends)
    console.rule("3 · what happened")
    rows = windows_table([persona.id], ends)
    show(rows, as_json=False, title="Windows", empty="nothing ran")
    plot = _keep_plot(platform, persona.id)
    console.rule("4 · the same question to base, first adapter and champion")
    _ask(platform, persona.id, played.questions, played.asked_at)
    console.rule("5 · where to look")
    _where_to_look(platform, persona.id, plot)
    if any(row["state"] == "failed" for row in rows):
        raise typer.Exit(1)


def read_plan(path: Path) -> Tour:
    """The plan in a YAML file.

    Raises:
        ConfigError: no such file, or it is no plan.
    """
    try:
        return Tour.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigError("there is no such plan", where=str(path), fix="See examples/tour.yaml.") from error
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"this is no plan: {error}", where=str(path), fix="See examples/tour.yaml.") from error


def _bring_in(log: Path) -> None:
    counts = ingest_report(log, "chat", None)
    console.print(f"  {log}: {counts['new']} new, {counts['known']} known, {counts['refused']} refused")


def _keep_plot(platform: Platform, persona_id: str) -> Path | None:
    """The comparison plot of the newest evaluation, copied to where a person finds it."""
    decided = [s for s in platform.journal.latest(persona_id) if s.adapter_version]
    if not decided:
        return None
    source = platform.settings.state / "evaluations" / persona_id / str(decided[0].adapter_version) / "comparison.png"
    target = platform.settings.home / "output" / f"{persona_id}-comparison.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return target


def _ask(platform: Platform, persona_id: str, questions: tuple[str, ...], now: datetime) -> None:
    from nabi.registry.version_names import version_name

    live = platform.registry.live(persona_id)
    first = version_name(persona_id, 1)
    known = {version.name for version in platform.registry.versions(persona_id)}
    asked = [name for name in dict.fromkeys([first, live.champion if live else None]) if name in known]
    talk = open_talk(platform, platform.persona(persona_id), [name for name in asked if name])
    for question in questions:
        answers = ask_side_by_side(talk, question, now, [None, *asked])
        rows: list[dict[str, Any]] = [{"who": name, "answer": said.text} for name, said in answers]
        console.print(table_of(rows, f"{question}"))


def _where_to_look(platform: Platform, persona_id: str, plot: Path | None) -> None:
    settings = platform.settings
    experiment = platform.tracker.experiment_id(persona_id)
    console.print(f"comparison plot   {plot or 'none: nothing was evaluated'}")
    console.print("start the pages   make up")
    console.print(f"Prefect, the runs http://127.0.0.1:{settings.prefect_port}/runs")
    console.print(f"MLflow, the runs  http://127.0.0.1:{settings.mlflow_port}/#/experiments/{experiment}/runs")
    console.print(f"talk yourself     .venv/bin/nabi chat {persona_id}")
