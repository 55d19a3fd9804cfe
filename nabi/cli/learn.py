"""`nabi run`, `nabi backfill`, `nabi ingest`: the loop by hand."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from nabi.cli.handing import ensure_only_up, hand_over, is_up, queue_windows
from nabi.cli.moments import parse_moment, parse_span
from nabi.cli.output import AsJson, console, show, table_of
from nabi.cli.progress import progress_lines
from nabi.control.backfill import window_ends
from nabi.settings import Settings, get_settings

if TYPE_CHECKING:
    from nabi.conversations.sources.rows import Refused

Personas = Annotated[
    list[str] | None, typer.Option("--persona", help="persona id; repeat it for several; default: all")
]
PresetName = Annotated[str | None, typer.Option("--preset", help="low-memory, balanced or high-quality")]


QueueName = Annotated[
    str | None,
    typer.Option("--queue", help="high (default: a person waits), normal (the schedule's) or low; only with `nabi up`"),
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="with `nabi up`: follow it to its end, or only queue it")]


def run(
    persona: Personas = None,
    as_of: Annotated[str | None, typer.Option(help="end of the window; default: now")] = None,
    preset: PresetName = None,
    queue: QueueName = None,
    *,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """One pass of the loop now, with live progress, ending in a table. With `nabi up` the platform runs it."""
    moment = parse_moment(as_of, option="--as-of")
    settings = get_settings()
    persona_ids = chosen_personas(persona)
    chosen = chosen_preset(preset)
    if is_up(settings):
        ended_well = hand_over(settings, persona_ids, moment, chosen, queue=queue or "high", wait=wait)
    else:
        ensure_only_up(queue, wait)
        ended_well = run_here(settings, persona_ids, [moment], chosen)
    if wait:
        report(persona_ids, [moment], as_json=as_json)
    if not ended_well:
        raise typer.Exit(1)


def backfill(
    start: Annotated[str, typer.Option("--from", help="start of the first window, e.g. 2026-07-01T06:00")],
    end: Annotated[str, typer.Option("--to", help="end of the last window")],
    every: Annotated[str, typer.Option(help="length of a window")] = "6h",
    persona: Personas = None,
    preset: PresetName = None,
    *,
    replay: Annotated[
        bool,
        typer.Option(
            "--replay", help="compare with what stood at that time, not with the champion of now; nothing goes live"
        ),
    ] = False,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """The loop over past windows, in order; decided ones stay as they are, failed ones are repeated.

    With `nabi up` each window is a run of its own on the queue low. A replay is a line of its own beside what really
    happened: each window builds on the replay's winners before it.
    """
    persona_ids = chosen_personas(persona)
    begin, finish = parse_moment(start, option="--from"), parse_moment(end, option="--to")
    ends = window_ends(begin, finish, parse_span(every, option="--every"))
    play_windows(persona_ids, ends, chosen_preset(preset), wait=wait, replay=replay)
    if not wait:
        return
    report(persona_ids, ends, as_json=as_json, replay=replay)
    if any(row["state"] == "failed" for row in windows_table(persona_ids, ends, replay=replay)):
        raise typer.Exit(1)


def ingest(
    file: Annotated[Path, typer.Argument(help="a file of conversations", exists=True, dir_okay=False)],
    source: Annotated[str, typer.Option(help="what wrote it: chat, character, meeting, search or agents")] = "chat",
    persona: Annotated[str | None, typer.Option(help="whose conversations they are, when the rows do not say")] = None,
    *,
    golden: Annotated[
        Path | None,
        typer.Option(help="golden answers for a search log: rows of request_id, golden_answer", dir_okay=False),
    ] = None,
    happened_at: Annotated[
        str | None, typer.Option("--at", help="when it was said, for files that do not tell")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Brings conversations in; every refused row is listed with its reason and kept apart. Shapes: docs/sources.md."""
    moment = parse_moment(happened_at, option="--at") if happened_at else None
    told = ingest_report(file, source, persona, golden=golden, happened_at=moment)
    if as_json:
        told_as_data = {**told, "refused": told["refused rows"]}
        del told_as_data["refused rows"]
        console.print_json(data=told_as_data)
    else:
        print_ingested(file, told)
    if told["refused rows"] and not sum(told[count] for count in _TAKEN_IN):
        raise typer.Exit(1)


_TAKEN_IN = ("new", "known", "withdrawn", "golden")
"""What a row may be counted as that is not refused."""

MAX_ROWS_SHOWN = 20


def ingest_report(
    file: Path,
    source: str,
    persona: str | None,
    *,
    golden: Path | None = None,
    happened_at: datetime | None = None,
) -> dict[str, Any]:
    """Ingests a file; counts and refused rows ready to print."""
    from nabi.conversations.ingest import ingest_file
    from nabi.conversations.keys import load_or_create_key
    from nabi.wiring import get_platform

    platform = get_platform()
    key = load_or_create_key(platform.settings.state / "secrets" / "user.key")
    done = ingest_file(
        file,
        source,
        platform.store,
        persona,
        key,
        personas=platform.personas(),
        golden=golden,
        happened_at=happened_at,
    )
    return {
        "read as": done.recognised,
        "new": done.accepted,
        "known": done.known,
        "withdrawn": len(done.withdrawn),
        "golden": len(done.golden),
        "refused": len(done.refused),
        "refused rows": [_refused_row(row) for row in done.refused],
        "reasons": dict(Counter(row.phrase for row in done.refused).most_common()),
        "personas": dict(done.personas.most_common()),
        "speakers": [asdict(speaker) for speaker in done.speakers],
        "golden answers refused": [_refused_row(row) for row in done.golden_refused],
        "golden answers without a row": done.golden_unused,
    }


def _refused_row(row: Refused) -> dict[str, Any]:
    return {"line": row.line, "field": row.field, "reason": row.reason}


def print_ingested(file: Path, told: dict[str, Any]) -> None:
    """What became of a file's rows, for people."""
    counts = {name: told[name] for name in ("read as", *_TAKEN_IN, "refused")}
    show([counts], as_json=False, title=str(file), empty="")
    if len(told["personas"]) > 1:
        console.print(
            table_of([{"persona": name, "rows": num} for name, num in told["personas"].items()], "Split into")
        )
    if told["speakers"]:
        names = {
            "speaker": "speaker",
            "persona_id": "persona",
            "num_utterances": "utterances",
            "num_accepted": "usable",
        }
        rows = [{title: who[name] for name, title in names.items()} for who in told["speakers"]]
        console.print(table_of(rows, "Speakers"))
    if told["refused rows"]:
        reasons = ", ".join(f"{num} {reason}" for reason, num in told["reasons"].items())
        console.print(table_of(told["refused rows"][:MAX_ROWS_SHOWN], f"Refused, and kept apart: {reasons}"))
    if len(told["refused rows"]) > MAX_ROWS_SHOWN:
        console.print(f"… and {len(told['refused rows']) - MAX_ROWS_SHOWN} more; --json lists them all")
    if told["golden answers refused"]:
        console.print(table_of(told["golden answers refused"], "Golden answers that could not be used"))
    if told["golden answers without a row"]:
        console.print(f"golden answers without a row: {', '.join(told['golden answers without a row'])}")


def play_windows(
    persona_ids: Sequence[str], ends: Sequence[datetime], preset: Any = None, *, wait: bool = True, replay: bool = False
) -> None:
    """Runs the windows that are not decided yet, oldest first: by the platform where it is up, else here."""
    settings = get_settings()
    if is_up(settings):
        queue_windows(settings, persona_ids, ends, preset, wait=wait, replay=replay)
    else:
        ensure_only_up(None, wait)
        run_here(settings, persona_ids, ends, preset, replay=replay)


def run_here(
    settings: Settings, persona_ids: Sequence[str], ends: Sequence[datetime], preset: Any, *, replay: bool = False
) -> bool:
    """Runs windows in this process, one after the other; whether all of them ended well. A failed one stops no other.

    Raises:
        PersonaBusy: another run works on one of the personas.
    """
    from nabi.errors import PersonaBusy
    from nabi.wiring import get_platform

    get_platform().leases.ensure_free(persona_ids)
    ended_well = True
    with orchestrated(settings):
        from flows.continuous_learning import continuous_learning

        for as_of in ends:
            state = continuous_learning(list(persona_ids), as_of, preset, replay=replay, return_state=True)
            result = state.result(raise_on_failure=False)
            if isinstance(result, PersonaBusy):
                raise result
            ended_well = ended_well and state.is_completed()
    return ended_well


def chosen_personas(asked: Sequence[str] | None) -> list[str]:
    """The personas asked for, each checked; all of them when none was named."""
    from nabi.wiring import get_platform

    platform = get_platform()
    return [platform.persona(persona_id).id for persona_id in asked] if asked else list(platform.personas())


def chosen_preset(name: str | None) -> Any:
    """A preset's name, checked.

    Raises:
        ConfigError: there is no such preset.
    """
    from nabi.errors import ConfigError
    from nabi.training.recipe import PRESETS

    if name is not None and name not in PRESETS:
        raise ConfigError(f"there is no preset {name!r}", where="--preset", fix=f"Choose from {', '.join(PRESETS)}.")
    return name


@contextmanager
def orchestrated(settings: Settings) -> Iterator[None]:
    """Prefect's client set up for this process, against a server that lives as long as the block.

    Prefect reads its settings when it is imported, so this must come before any import of `flows`.
    """
    from nabi.integrations.local_servers import free_port, prefect_server, serving

    _finish_deletions()
    server = prefect_server(settings, free_port())
    os.environ.update(server.environment)
    console.print("starting the Prefect server …")
    with serving(server, settings.state / "logs"), progress_lines():
        try:
            yield
        finally:
            # Also after an error: what still waits when the server is gone would keep this process from ending.
            from flows.reporting import send_remaining_logs

            send_remaining_logs()


def _finish_deletions() -> None:
    """Nothing new begins before what people asked to be forgotten is gone."""
    from nabi.steps.forget import finish_before_run
    from nabi.wiring import get_platform

    finish_before_run(get_platform())


def windows_table(
    persona_ids: Sequence[str], ends: Sequence[datetime], *, replay: bool = False
) -> list[dict[str, Any]]:
    """One row a persona and window, as the journal has it."""
    from nabi.registry.journal import LIVE, REPLAY
    from nabi.wiring import get_platform

    platform = get_platform()
    line = REPLAY if replay else LIVE
    wanted = set(ends)
    rows = []
    for persona_id in persona_ids:
        zone = ZoneInfo(platform.persona(persona_id).limits.timezone)
        for standing in reversed(platform.journal.latest(persona_id, num=1000, line=line)):
            if standing.as_of in wanted:
                rows.append(_window_row(standing, zone))
    return rows


def _window_row(standing: Any, zone: ZoneInfo) -> dict[str, Any]:
    """A window as people see it; its end in the persona's own time zone."""
    figures = standing.figures
    gain = figures.get("gain")
    return {
        "persona": standing.persona_id,
        "window": standing.as_of.astimezone(zone),
        "new": figures.get("num_new"),
        "samples": figures.get("num_train"),
        "dataset": (standing.dataset_version or "")[:12],
        "adapter": standing.adapter_version,
        "loss": figures.get("holdout_loss"),
        "quality": figures.get("candidate_quality"),
        "gain": None if gain is None else f"{gain:+.1%}",
        "state": standing.state,
        "why": standing.sentence,
    }


def report(persona_ids: Sequence[str], ends: Sequence[datetime], *, as_json: bool, replay: bool = False) -> None:
    """The windows' endings, as a table or JSON."""
    title = "Windows of the replay; nothing of it went live" if replay else "Windows"
    show(windows_table(persona_ids, ends, replay=replay), as_json=as_json, title=title, empty="Nothing ran.")
