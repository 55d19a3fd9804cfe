"""`nabi synthesize`: questions and answers that a teacher makes up from what a search can find."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nabi.addresses import usable_address
from nabi.cli.learn import MAX_ROWS_SHOWN
from nabi.cli.output import AsJson, console, print_json, table_of
from nabi.errors import ConfigError

if TYPE_CHECKING:
    from nabi.steps.synthesize import Synthesis

LM_STUDIO = "http://127.0.0.1:1234/v1"
"""Where LM Studio serves unless told otherwise."""


def synthesize(  # noqa: PLR0917 -- options of a command, given by name
    items: Annotated[
        Path, typer.Argument(help="JSON lines or an array: name, category, description, …", exists=True, dir_okay=False)
    ],
    persona: Annotated[str, typer.Option(help="who will learn from them")],
    model: Annotated[str, typer.Option(help="the teacher, as its server calls it")],
    url: Annotated[str, typer.Option(help="its server up to /v1: LM Studio, llama.cpp, vLLM, Ollama …")] = LM_STUDIO,
    num: Annotated[int, typer.Option(help="pairs to ask for about each item", min=1, max=20)] = 5,
    beside: Annotated[int, typer.Option(help="other items shown with each question", min=0, max=4)] = 2,
    out: Annotated[Path | None, typer.Option(help="default: output/PERSONA-synthetic.jsonl")] = None,
    seconds: Annotated[float, typer.Option(help="for one reply; longer counts as none", min=1)] = 120,
    *,
    merge: Annotated[bool, typer.Option("--merge/--no-merge", help="bring them in, or only write the file")] = True,
    as_json: AsJson = False,
) -> None:
    """Makes up questions and answers about items with any OpenAI-compatible server, and keeps those that are fit.

    NABI_TEACHER_API_KEY is sent as its bearer token. The items go to that server, and nothing that people said.
    Interrupted, the same command goes on with what is missing.
    """
    from nabi.integrations.openai_chat import ChatServer
    from nabi.steps.synthesize import synthesize as make
    from nabi.wiring import get_platform

    platform = get_platform()
    key = platform.settings.teacher_api_key
    teacher = ChatServer(
        _address(url),
        model,
        seconds,
        key.get_secret_value() if key else None,
        settings="--url, --model and NABI_TEACHER_API_KEY",
    )
    path = out or Path("output") / f"{persona}-synthetic.jsonl"
    done = make(
        platform,
        items,
        persona,
        teacher,
        num=num,
        beside=beside,
        out=path,
        merge=merge,
        tell=lambda line: None if as_json else console.print(f"  {line}", markup=False),
    )
    _print(done, path, as_json=as_json)
    if done.unanswered:
        raise typer.Exit(1)


def _address(url: str) -> str:
    try:
        return usable_address(url, key="NABI_TEACHER_API_KEY")
    except ValueError as error:
        raise ConfigError(str(error), where="--url") from error


def _print(done: Synthesis, path: Path, *, as_json: bool) -> None:
    merged = done.merged
    told = {
        "items": done.num_items,
        "asked before": done.num_known,
        "rows that are no items": len(done.refused_items),
        "pairs kept": done.num_kept,
        "pairs refused": sum(done.reasons.values()),
        "unanswered": len(done.unanswered),
        "new in the store": merged.accepted if merged else None,
        "refused by the store": len(merged.refused) if merged else None,
    }
    if as_json:
        print_json(
            {
                **told,
                "file": path,
                "reasons": dict(done.reasons.most_common()),
                "items without a reply": done.unanswered,
                "refused rows": [{"line": row.line, "reason": row.reason} for row in done.refused_items],
            }
        )
        return
    console.print(table_of([told], str(path)))
    if done.reasons:
        rows = [{"reason": reason, "pairs": num} for reason, num in done.reasons.most_common()]
        console.print(table_of(rows, "Not fit to learn from"))
    if done.refused_items:
        rows = [{"line": row.line, "field": row.field, "reason": row.reason} for row in done.refused_items]
        console.print(table_of(rows[:MAX_ROWS_SHOWN], "Rows that are no items"))
    if done.unanswered:
        console.print(f"no reply about {', '.join(done.unanswered)}; the same command asks again", markup=False)
