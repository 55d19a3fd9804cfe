"""`nabi datasets`: dataset versions, and older ones back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from nabi.cli.output import AsJson, console, show

app = typer.Typer(no_args_is_help=True, help="Dataset versions.")


@app.command("list")
def list_versions(persona: Annotated[str, typer.Argument(help="persona id")], as_json: AsJson = False) -> None:
    """The dataset versions a persona was trained on, newest first."""
    from nabi.wiring import get_platform

    standings = get_platform().journal.latest(persona, num=1000)
    rows = [
        {"dataset": s.dataset_version, "window": s.as_of, "adapter": s.adapter_version, "state": s.state}
        for s in standings
        if s.dataset_version
    ]
    show(rows, as_json=as_json, title=f"Dataset versions of {persona}", empty=f"{persona} has none yet.")


@app.command()
def card(persona: Annotated[str | None, typer.Argument(help="persona id; left out: all on one page")] = None) -> None:
    """The card of a persona's dataset with its advice, or counts and shares of all personas."""
    from nabi.datasets.card import render_card, render_overview
    from nabi.datasets.snapshot import CARD, load_snapshot
    from nabi.wiring import get_platform

    folder = get_platform().settings.datasets
    if persona:
        print(render_card(load_snapshot(folder / persona).card))
        return
    print(render_overview(load_snapshot(path.parent).card for path in sorted(folder.glob(f"*/{CARD}"))))


@app.command()
def checkout(
    version: Annotated[str, typer.Argument(help="a dataset version, as `nabi datasets list` shows it")],
    persona: Annotated[str | None, typer.Option(help="only this persona's part, beside the current one")] = None,
) -> None:
    """Gets an older dataset version back: into datasets/, or one persona's part into a folder of its own."""
    from nabi.wiring import get_platform

    datasets = get_platform().datasets
    if persona:
        console.print(str(datasets.checkout(version, persona)))
        return
    datasets.restore(version)
    console.print(f"datasets/ and datasets.dvc are at {version}")


@app.command()
def export(
    persona: Annotated[str, typer.Argument(help="persona id")],
    shape: Annotated[str, typer.Option(help="instruction, prompt or messages; see docs/sources.md")] = "instruction",
    version: Annotated[str | None, typer.Option(help="a dataset version; default: what lies in datasets/ now")] = None,
    out: Annotated[Path, typer.Option(help="folder for the file", file_okay=False)] = Path("output/exports"),
) -> None:
    """Writes the training samples for other trainers. `nabi forget` does not reach such a file: delete it by hand."""
    from nabi.datasets.export import write_export
    from nabi.datasets.files import read_samples
    from nabi.datasets.snapshot import TRAIN
    from nabi.wiring import get_platform

    platform = get_platform()
    who = platform.persona(persona)
    folder = platform.datasets.checkout(version, persona) if version else platform.settings.datasets / persona
    samples = read_samples(folder / TRAIN)
    path = write_export(samples, who, shape, folder=out, moment=datetime.now(UTC))
    console.print(f"{len(samples)} rows in {path}")
