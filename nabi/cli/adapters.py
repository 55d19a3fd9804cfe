"""`nabi adapters`, `promote`, `rollout` and `rollback`: versions, what is live, and the way back."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from nabi.cli.output import AsJson, console, show

if TYPE_CHECKING:
    from nabi.registry.rollouts import Rollout

app = typer.Typer(no_args_is_help=True, help="Adapter versions.")

_FIGURES = (
    "eval/quality",
    "eval/grounded",
    "eval/style",
    "eval/likelihood",
    "eval/form",
    "gate/gain",
    "gate/lower",
    "gate/upper",
)


@app.command("list")
def list_adapters(persona: Annotated[str, typer.Argument(help="persona id")], as_json: AsJson = False) -> None:
    """Every version of a persona's adapter, oldest first, with its figures and its part in the story."""
    from nabi.wiring import get_platform

    platform = get_platform()
    platform.persona(persona)
    live = platform.registry.live(persona)
    rows = []
    for version in platform.registry.versions(persona):
        figures = platform.tracker.run_metrics(version.run_id)
        rows.append(
            {
                "adapter": version.name,
                "role": _role(version.name, live.champion if live else None, live.previous if live else None),
                "stage": version.stage,
                "dataset": version.dataset_version[:12],
                **{name.split("/")[-1]: figures.get(name) for name in _FIGURES},
                "why": version.tags.get("why", ""),
                "retire": version.retire,
                "removed": version.removed,
            }
        )
    show(
        rows,
        as_json=as_json,
        title=f"Adapters of {persona}",
        empty=f"{persona} has none yet: `nabi run --persona {persona}`.",
        rare=("retire", "removed"),
    )


@app.command("show")
def show_adapter(adapter: Annotated[str, typer.Argument(help="a version such as nabiyam--v3")]) -> None:
    """One version: digest, dataset version, files, figures."""
    from nabi.wiring import get_platform

    platform = get_platform()
    version = platform.registry.version(adapter)
    facts = {
        "adapter": version.name,
        "digest": version.digest,
        "stage": version.stage,
        "folder": None if version.removed else str(platform.registry.folder_of(version)),
        "mlflow_run": version.run_id,
        "tags": dict(version.tags),
        "figures": platform.tracker.run_metrics(version.run_id),
    }
    console.print_json(data=facts)


@app.command()
def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only tell which adapters would go")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove the files of versions that no persona's `retention` asks for, and what else is left over.

    The hourly upkeep does the same. What is live, what a rollback puts back and what is on trial always stays.
    """
    from nabi.steps.clean_up import clean_up, superfluous_adapters
    from nabi.wiring import get_platform

    platform = get_platform()
    if dry_run:
        goes = {name: why for names in superfluous_adapters(platform).values() for name, why in names.items()}
        sentence = f"adapters that would go: {len(goes)}; nothing was removed."
    else:
        cleaned = clean_up(platform)
        goes, sentence = cleaned.adapters, f"{cleaned.sentence}."
    rows = [{"adapter": name, "why": why} for name, why in goes.items()]
    show(rows, as_json=as_json, title="Old adapters", empty="No adapter is superfluous.")
    if not as_json:
        console.print(sentence)


@app.command()
def history(persona: Annotated[str, typer.Argument(help="persona id")], as_json: AsJson = False) -> None:
    """Everything that was ever live or on trial, oldest first: when, what, by whom and why."""
    from nabi.steps.standing import changes
    from nabi.wiring import get_platform

    rows = [
        {
            "at": it.at,
            "action": it.action,
            "adapter": it.version,
            "previous": it.previous,
            "share": it.share,
            "who": it.who,
            "why": it.why,
        }
        for it in changes(get_platform(), persona)
    ]
    show(rows, as_json=as_json, title=f"What was live for {persona}", empty=f"Nothing was ever live for {persona}.")


@app.command()
def compare(
    persona: Annotated[str, typer.Argument(help="persona id")],
    old: Annotated[str, typer.Argument(help="a version such as v3, or base")],
    new: Annotated[str, typer.Argument(help="another one")],
    as_json: AsJson = False,
) -> None:
    """Measures any two versions on the same prompts, as the gate would; nothing is deployed."""
    from nabi.evaluation.score import breakdown
    from nabi.steps.compare import compare as compare_them
    from nabi.wiring import get_platform

    compared = compare_them(get_platform(), persona, old, new)
    verdict = compared.verdict
    if as_json:
        console.print_json(
            data={
                "sentence": compared.sentence,
                "report": str(compared.report),
                "figures": verdict.figures(),
                "contenders": {name: breakdown(found.scores) for name, found in compared.contenders.items()},
            }
        )
        return
    columns = {name: breakdown(found.scores) for name, found in compared.contenders.items()}
    figures = dict.fromkeys(figure for column in columns.values() for figure in column)
    rows = [
        {"figure": figure.removeprefix("eval/"), **{name: column.get(figure) for name, column in columns.items()}}
        for figure in figures
    ]
    show(rows, as_json=False, title=f"{verdict.candidate_name} against {verdict.champion_name}", empty="no figures")
    console.print(compared.sentence)
    console.print(f"report  {compared.report}")


def rollback(
    persona: Annotated[str, typer.Argument(help="persona id")],
    why: Annotated[str, typer.Option(help="kept in the ledger")] = "rolled back by hand",
) -> None:
    """Ends the trial of a candidate, or else puts the previous adapter back; at once."""
    from nabi.steps.go_live import mirror, roll_back
    from nabi.wiring import get_platform

    platform = get_platform()
    console.print(f"[bold]{roll_back(platform, persona, who=getpass.getuser(), why=why)}[/]")
    mirror(platform, persona)


def promote(
    adapter: Annotated[str, typer.Argument(help="a version such as nabiyam--v3")],
    why: Annotated[str, typer.Option(help="kept in the ledger")] = "promoted by hand",
) -> None:
    """Makes a version live by hand, past the gate."""
    from nabi.steps.go_live import mirror
    from nabi.steps.go_live import promote as make_live
    from nabi.wiring import get_platform

    platform = get_platform()
    live = make_live(platform, adapter, who=getpass.getuser(), why=why)
    back = f"the way back to {live.previous}: nabi rollback PERSONA" if live.previous else "nothing was live before"
    console.print(f"[bold]{live.champion}[/] is live; {back}.")
    mirror(platform, adapter.rpartition("--")[0])


def rollout(
    persona: Annotated[str, typer.Argument(help="persona id")],
    share: Annotated[
        int | None, typer.Option(help="percent of the sessions; without it the persona's plan begins and goes on")
    ] = None,
    candidate: Annotated[str | None, typer.Option(help="an adapter version; default: the newest")] = None,
    why: Annotated[str, typer.Option(help="kept for good")] = "tried by hand",
) -> None:
    """Lets a candidate answer a share of the sessions, always the same ones; `nabi rollback` ends it."""
    from nabi.steps.go_live import mirror, try_out
    from nabi.wiring import get_platform

    platform = get_platform()
    trial = try_out(platform, persona, share, candidate=candidate, who=getpass.getuser(), why=why)
    by_hand = f"Then: nabi promote {trial.candidate}, or nabi rollback {persona}."
    console.print(
        f"[bold]{trial.candidate}[/] answers {trial.share} % of the sessions. {_plan(trial) or by_hand}",
    )
    mirror(platform, persona)


def _plan(trial: Rollout) -> str:
    """What comes next by itself, in words; empty where nothing does."""
    if trial.plan is None:
        return ""
    steps = " → ".join(f"{share} %" for share in trial.plan.shares)
    return (
        f"While `nabi serve` runs: {steps} → live, a step after at least {trial.plan.hours:g} hours and "
        f"{trial.plan.answers} answers, and only while it is not worse. nabi rollback {trial.persona_id} ends it."
    )


def _role(name: str, champion: str | None, previous: str | None) -> str:
    return {champion: "champion", previous: "previous"}.get(name, "")
