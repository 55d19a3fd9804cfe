"""`nabi forget`: a person's words leave everything that they reached."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nabi.cli.moments import parse_moment
from nabi.cli.output import AsJson, console, table_of
from nabi.cli.people import person_key
from nabi.errors import ConfigError

if TYPE_CHECKING:
    from nabi.steps.forget import Forgotten


def forget(  # noqa: PLR0917 -- options of a command, given by name
    user: Annotated[str | None, typer.Option(help="the person's id as the logs write it")] = None,
    user_key: Annotated[str | None, typer.Option(help="the same as the keyed hash that nabi stores")] = None,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="only take the consent back, as of --from; what it covered before stays")
    ] = False,
    since: Annotated[str | None, typer.Option("--from", help="when the withdrawal counts from; default: now")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="only finish requests that were interrupted")] = False,
    as_json: AsJson = False,
) -> None:
    """Deletes a person's conversations from the store, datasets (cache and remote), MLflow, scores and logs.

    Lists what was deleted where and which adapters had learned from it. Interrupted, it is finished by --resume or at
    the next start of anything. There is no way back.
    """
    from nabi.steps.forget import finish_pending, forget_person, withdraw_consent
    from nabi.wiring import get_platform

    if since is not None and not withdraw:
        raise ConfigError("a deletion covers everything.", where="--from", fix="Use --from together with --withdraw.")
    platform = get_platform()
    if resume:
        _print(finish_pending(platform), as_json=as_json)
        return
    key = person_key(platform.settings, user, user_key)
    who = getpass.getuser()
    if withdraw:
        done = withdraw_consent(platform, key, parse_moment(since, option="--from"), who=who)
    else:
        done = forget_person(platform, key, who=who)
    _print([done], as_json=as_json)


def _print(reports: list[Forgotten], *, as_json: bool) -> None:
    if as_json:
        console.print_json(data=[_as_data(report) for report in reports])
        return
    if not reports:
        console.print("No request waits to be finished.")
    for report in reports:
        _print_one(report)


def _print_one(report: Forgotten) -> None:
    from nabi.steps.forget import LEFT

    erasure = report.erasure
    rows = [{"place": entry.place, "what": entry.name, "deleted": entry.num} for entry in report.entries]
    title = f"Request {erasure.id}: {erasure.kind}, {erasure.state}"
    console.print(table_of(rows, title) if rows else f"{title}; nothing was held.")
    for old, new in report.replaced.items():
        console.print(f"dataset {old} is now {new or 'gone: it was incomplete before'}")
    for retired in report.retired:
        console.print(
            f"[bold]{retired.adapter_version}[/] learned from {retired.num_conversations} of the conversations: "
            f"retire it and train anew with `nabi run --persona {retired.persona_id}`"
        )
    for entry in report.entries:
        if entry.place == LEFT:
            console.print(f"[red bold]still found[/] {entry.num} times in {entry.name}: remove it by hand")


def _as_data(report: Forgotten) -> dict[str, Any]:
    erasure = report.erasure
    return {
        "request": erasure.id,
        "kind": erasure.kind,
        "state": erasure.state,
        "from": erasure.since.isoformat() if erasure.since else None,
        "requested_at": erasure.requested_at.isoformat(),
        "finished_at": erasure.finished_at.isoformat() if erasure.finished_at else None,
        "deleted": [{"place": entry.place, "name": entry.name, "num": entry.num} for entry in report.entries],
        "datasets": report.replaced,
        "retire": [
            {
                "adapter": retired.adapter_version,
                "persona": retired.persona_id,
                "conversations": retired.num_conversations,
            }
            for retired in report.retired
        ],
    }
