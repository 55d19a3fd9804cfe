"""`nabi personas`: who learns, and by which rules."""

from __future__ import annotations

from typing import Annotated

import typer

from nabi.cli.output import AsJson, console, show

app = typer.Typer(no_args_is_help=True, help="Who learns: the declared personas.")


@app.command("list")
def list_personas(as_json: AsJson = False) -> None:
    """Every declared persona with what answers for it now."""
    from nabi.wiring import get_platform

    platform = get_platform()
    rows = []
    for persona in platform.personas().values():
        live = platform.ledger.live(persona.id)
        rows.append(
            {
                "persona": persona.id,
                "name": persona.name,
                "source": persona.source,
                "adapter": live.champion if live else "base",
                "what": persona.description,
            }
        )
    show(rows, as_json=as_json, title="Personas", empty="No persona is declared: add a YAML file to personas/.")


@app.command("show")
def show_persona(persona: Annotated[str, typer.Argument(help="persona id")]) -> None:
    """One persona's whole declaration, defaults included."""
    from nabi.wiring import get_platform

    console.print_json(get_platform().persona(persona).model_dump_json())
