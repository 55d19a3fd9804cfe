"""`nabi chat`: talk to what is live."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nabi.cli.moments import parse_moment
from nabi.cli.output import AsJson, console
from nabi.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nabi.conversations.records import Fact
    from nabi.personas.model import Persona
    from nabi.serving.talk import Said, Talk
    from nabi.wiring import Platform


def chat(  # noqa: PLR0917 -- options of a command, given by name
    persona: Annotated[str, typer.Argument(help="persona id")],
    message: Annotated[str | None, typer.Argument(help="one question; left out: a conversation")] = None,
    adapter: Annotated[
        str | None, typer.Option(help="a version such as nabiyam--v1, or base; default: what is live")
    ] = None,
    at: Annotated[str | None, typer.Option(help="the moment of asking: decides what is open; default: now")] = None,
    facts: Annotated[
        Path | None,
        typer.Option(help="retrieved items as JSON lines of {label: value}, instead of a look-up", dir_okay=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Talks to the persona's champion, with facts that are given or looked up in its catalogue."""
    from nabi.wiring import get_platform

    platform = get_platform()
    declared = platform.persona(persona)
    given = read_facts(declared, facts) if facts else None
    name = answering_adapter(platform, declared, adapter)
    talk = open_talk(platform, declared, [name] if name else [])
    if message is not None:
        said = talk.say(message, now=parse_moment(at, option="--at"), adapter=name, given=given)
        _print(declared, said, as_json=as_json)
        return
    console.print(f"{declared.name} ({name or 'base'}); an empty line ends the talk.")
    while question := console.input("[bold]> [/]").strip():
        said = talk.say(question, now=parse_moment(at, option="--at"), adapter=name, given=given)
        _print(declared, said, as_json=as_json)


def read_facts(persona: Persona, path: Path) -> tuple[Fact, ...]:
    """The retrieved items of a file: JSON lines, or one array of them in a `.json` file.

    Raises:
        ConfigError: the persona was trained without facts.
        DataError: the file cannot be read.
    """
    from nabi.conversations.sources import fields
    from nabi.conversations.sources.documents import read_array, starts_an_array
    from nabi.conversations.sources.lines import read_lines

    if not persona.uses_facts:
        raise ConfigError(f"{persona.id} was trained without facts.", where="--facts", fix="Leave them out.")
    found = []
    for line in read_array(path) if starts_an_array(path) else read_lines(path):
        try:
            found.append(fields.fact(fields.parse(line), "fact"))
        except fields.RowError as error:
            what = f"{error.field}: {error.reason}" if error.field else error.reason
            raise DataError(what, where=f"{path} line {line.number}") from error
    return tuple(fact for fact in found if fact)


def answering_adapter(platform: Platform, persona: Persona, asked: str | None) -> str | None:
    """The adapter version that should answer; None for the bare base."""
    if asked == "base":
        return None
    if asked:
        return platform.registry.version(asked).name
    live = platform.registry.live(persona.id)
    return live.champion if live else None


def open_talk(platform: Platform, persona: Persona, adapters: Sequence[str]) -> Talk:
    """A talk with these adapter versions ready to answer."""
    from nabi.serving.talk import Talk
    from nabi.steps.evaluate import open_engine

    limit = persona.bootstrap.daily_limit if persona.bootstrap else 0
    return Talk(open_engine(platform, persona, adapters), persona, platform.catalogue(persona), limit)


def ask_side_by_side(
    talk: Talk, question: str, now: datetime, adapters: Sequence[str | None]
) -> list[tuple[str, Said]]:
    """One question to several adapters; none of them hears the others' answers."""
    return [(name or "base", talk.say(question, now=now, adapter=name, remember=False)) for name in adapters]


def _print(persona: Persona, said: Said, *, as_json: bool) -> None:
    if as_json:
        facts = [dict(fact) for fact in said.facts]
        print(
            json.dumps(
                {"answer": said.text, "adapter": said.adapter, "digest": said.digest, "facts": facts},
                ensure_ascii=False,
            )
        )
        return
    console.print(f"[bold]{persona.name}[/] {said.text}")
    console.print(f"[dim]{said.adapter or 'base'}, {len(said.facts)} facts, {said.seconds:.1f} s[/]")
