"""`nabi lineage`: from a conversation to what is live, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from nabi.cli.output import AsJson, console, table_of
from nabi.cli.people import person_key
from nabi.errors import ConfigError

if TYPE_CHECKING:
    from nabi.steps.lineage import Trace


def lineage(
    name: Annotated[
        str | None, typer.Argument(metavar="ID", help="a conversation, sample, dataset version or adapter version")
    ] = None,
    user: Annotated[str | None, typer.Option(help="instead: a person, by the id as the logs write it")] = None,
    user_key: Annotated[str | None, typer.Option(help="instead: a person, by the keyed hash that nabi stores")] = None,
    everything: Annotated[bool, typer.Option("--all", help="list every conversation of a dataset or adapter")] = False,
    as_json: AsJson = False,
) -> None:
    """What became of it, and what it is made of: conversations, samples, dataset versions, adapters, what is live."""
    from nabi.steps.lineage import trace, trace_person
    from nabi.wiring import get_platform

    platform = get_platform()
    is_person = user is not None or user_key is not None
    if is_person == (name is not None):
        raise ConfigError("name one thing.", where="ID", fix="Give an ID, or a person with --user.")
    if name is not None:
        found = trace(platform, name, all_ids=everything)
    else:
        found = trace_person(platform, person_key(platform.settings, user, user_key))
    if as_json:
        console.print_json(data={**asdict(found), "live": found.live})
    else:
        _print(found)


def _print(found: Trace) -> None:
    console.print(f"[bold]{found.kind}[/] {found.id}")
    for label, value in found.facts.items():
        console.print(f"  {label}: {value}", markup=False)
    for source, num in found.conversations.items():
        console.print(f"  {num} conversations from {source}")
    for conversation_id in found.conversation_ids:
        console.print(f"    {conversation_id}", markup=False)
    datasets = [{"dataset": version, **_parts(parts)} for version, parts in found.datasets.items()]
    if datasets:
        console.print(table_of(datasets, "Dataset versions, and how many samples of it are in which part"))
    adapters = [
        {"adapter": a.adapter, "role": a.role, "dataset": a.dataset_version, "run": a.mlflow_run_id, "retire": a.retire}
        for a in found.adapters
    ]
    if adapters:
        console.print(table_of(adapters, "Adapters trained on it"))
    console.print(f"live: {', '.join(found.live) or 'nothing of it'}")


def _parts(parts: dict[str, int]) -> dict[str, int]:
    return {name: parts.get(name, 0) for name in ("train", "preference", "holdout", "anchor")}
