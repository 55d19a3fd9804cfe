"""`nabi catalogue`: what a workbook holds, and the dialogues made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nabi.cli.output import AsJson, console, show
from nabi.errors import ConfigError
from nabi.personas.model import Persona

app = typer.Typer(no_args_is_help=True, help="Catalogue workbooks.")

Workbook = Annotated[Path, typer.Argument(help="an .xlsx file", exists=True, dir_okay=False)]


@app.command()
def report(
    file: Workbook,
    out: Annotated[Path, typer.Option(help="Markdown file to write")] = Path("output/feature_report.md"),
    as_json: AsJson = False,
) -> None:
    """Checks a workbook and writes the feature report: coverage, quality, priority tiers, what was refused."""
    from nabi.catalogue.findings import WorkbookError, write_findings
    from nabi.catalogue.report import feature_report, write_feature_report
    from nabi.catalogue.workbook import read_workbook

    out.parent.mkdir(parents=True, exist_ok=True)
    rows = out.with_suffix(".csv")
    try:
        reading = read_workbook(file)
    except WorkbookError as error:
        write_findings(error.findings, rows)
        console.print(f"{len(error.findings)} rows with a problem are listed in {rows}")
        raise
    made = feature_report(reading)
    write_feature_report(made, out)
    write_findings(reading.findings, rows)
    if as_json:
        console.print_json(data=made.metrics())
        return
    catalogue = reading.catalogue
    console.print(
        f"{len(catalogue.shops)} shops, {len(catalogue.menus)} menus, {len(catalogue.coupons)} coupons; "
        f"{len(reading.findings)} findings\nreport        {out}\nrow by row    {rows}"
    )


@app.command()
def dialogues(
    file: Workbook,
    out: Annotated[Path, typer.Option(help="JSONL file to write")] = Path("output/dialogues.jsonl"),
    num: Annotated[int, typer.Option(help="how many", min=1, max=2000)] = 1500,
    persona: Annotated[str | None, typer.Option(help="who speaks in them; default: the one with a catalogue")] = None,
    as_json: AsJson = False,
) -> None:
    """Writes dialogues made from a workbook; the same workbook and seed give the same bytes."""
    from collections import Counter

    from nabi.catalogue.dialogues import make_dialogues
    from nabi.catalogue.workbook import read_workbook
    from nabi.wiring import get_platform

    platform = get_platform()
    declared = platform.persona(persona) if persona else _only_one_with_a_catalogue(platform.personas())
    limit, refused = (declared.bootstrap.daily_limit, declared.bootstrap.refused) if declared.bootstrap else (0, 0.0)
    made = make_dialogues(
        read_workbook(file).catalogue, declared.id, num, platform.settings.seed, limit, refused=refused
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(dialogue.model_dump_json() + "\n" for dialogue in made), encoding="utf-8")
    kinds = Counter(dialogue.kind or "other" for dialogue in made)
    rows = [{"kind": kind, "dialogues": count} for kind, count in kinds.most_common()]
    show(rows, as_json=as_json, title=f"{len(made)} dialogues in {out}", empty="")


def _only_one_with_a_catalogue(personas: dict[str, Persona]) -> Persona:
    found = [persona for persona in personas.values() if persona.bootstrap]
    if len(found) != 1:
        names = ", ".join(persona.id for persona in found) or "none"
        raise ConfigError(f"{len(found)} personas have a catalogue ({names})", fix="Choose who speaks with --persona.")
    return found[0]
