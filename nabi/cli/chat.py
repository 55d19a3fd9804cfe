"""`nabi chat`: talk to what is live."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from nabi.cli.moments import parse_moment
from nabi.cli.output import AsJson, console

if TYPE_CHECKING:
    from nabi.personas.model import Persona
    from nabi.serving.talk import Said, Talk
    from nabi.wiring import Platform


def chat(
    persona: Annotated[str, typer.Argument(help="persona id")],
    message: Annotated[str | None, typer.Argument(help="one question; left out: a conversation")] = None,
    adapter: Annotated[
        str | None, typer.Option(help="a version such as nabiyam--v1, or base; default: what is live")
    ] = None,
    at: Annotated[str | None, typer.Option(help="the moment of asking: decides what is open; default: now")] = None,
    as_json: AsJson = False,
) -> None:
    """Talks to the persona's champion, with facts looked up in its catalogue."""
    from nabi.wiring import get_platform

    platform = get_platform()
    declared = platform.persona(persona)
    name = answering_adapter(platform, declared, adapter)
    talk = open_talk(platform, declared, [name] if name else [])
    if message is not None:
        said = talk.say(message, now=parse_moment(at, option="--at"), adapter=name)
        _print(declared, said, as_json=as_json)
        return
    console.print(f"{declared.name} ({name or 'base'}); an empty line ends the talk.")
    while question := console.input("[bold]> [/]").strip():
        _print(declared, talk.say(question, now=parse_moment(at, option="--at"), adapter=name), as_json=as_json)


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
