"""The command tree, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import typer
from typer.core import TyperGroup

from nabi.cli import (
    adapters,
    base,
    catalogue,
    chat,
    datasets,
    export,
    forget,
    learn,
    lineage,
    look,
    notices,
    personas,
    reproduce,
    review,
    serve,
    synthesize,
    tour,
    up,
)
from nabi.errors import NabiError


class _PlainErrors(TyperGroup):
    """Shows a nabi error as one message instead of a stack trace."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except NabiError as error:
            from rich.console import Console

            Console(stderr=True).print(f"[red bold]error[/] {error}", highlight=False, soft_wrap=True)
            sys.exit(1)


# What the libraries have to say to each other about their next versions is no news for who runs a command.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers|peft|mlflow")

app = typer.Typer(
    cls=_PlainErrors,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Keeps chatbots learning, and deploys an adapter only when it is really better.",
)

app.command("run")(learn.run)
app.command("backfill")(learn.backfill)
app.command("tour")(tour.tour)
app.command("ingest")(learn.ingest)
app.command("synthesize")(synthesize.synthesize)
app.command("chat")(chat.chat)
app.command("status")(look.status)
app.command("doctor")(look.doctor)
app.command("up")(up.up)
app.command("down")(up.down)
app.command("serve")(serve.serve)
app.command("promote")(adapters.promote)
app.command("rollout")(adapters.rollout)
app.command("rollback")(adapters.rollback)
app.command("notices")(notices.notices)
app.command("export")(export.export)
app.command("forget")(forget.forget)
app.command("lineage")(lineage.lineage)
app.command("reproduce")(reproduce.reproduce)
app.add_typer(adapters.app, name="adapters")
app.add_typer(base.app, name="base")
app.add_typer(catalogue.app, name="catalogue")
app.add_typer(datasets.app, name="datasets")
app.add_typer(personas.app, name="personas")
app.add_typer(review.app, name="review")
