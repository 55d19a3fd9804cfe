"""`nabi base`: the shipped base model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nabi.cli.output import console

app = typer.Typer(no_args_is_help=True, help="The base model.")


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="folder to write")] = Path("var/tiny-ko"),
    seed: Annotated[int | None, typer.Option(help="default: the one of the shipped model")] = None,
) -> None:
    """Builds tiny-ko from text that the project generates: tokenizer, training, probes.

    About 20 minutes on two idle cores.
    """
    from nabi.cli.progress import bar
    from nabi.settings import get_settings
    from nabi.training.tiny_base.build import build_base

    settings = get_settings()
    chosen = settings.seed if seed is None else seed
    with bar("building tiny-ko") as report:
        built = build_base(out, seed=chosen, threads=settings.threads, on_progress=report)
    console.print(f"{built.folder}: {built.weight_bytes / 1e6:.1f} MB in {built.seconds / 60:.1f} minutes")
    console.print_json(data=built.figures()["probe"])


@app.command()
def show() -> None:
    """Which base model this installation uses, and its exact revision."""
    from nabi.settings import get_settings
    from nabi.training.base_model import resolve_base

    settings = get_settings()
    base = resolve_base(settings.base_model, settings.models)
    console.print_json(
        data={"name": base.name, "source": base.source, "revision": base.revision, "recipe": base.recipe}
    )
