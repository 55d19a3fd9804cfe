"""`nabi notices`: what a person had to hear of, and whether it reached anybody."""

from __future__ import annotations

from typing import Annotated

import typer

from nabi.cli.output import AsJson, console, show


def notices(
    num: Annotated[int, typer.Option(min=1, help="how many, newest first")] = 20,
    *,
    again: Annotated[bool, typer.Option("--again", help="deliver what waits or was given up at the next turn")] = False,
    as_json: AsJson = False,
) -> None:
    """Failures, rollbacks and silences; delivered through NABI_WEBHOOK_URL (docs/notices.md)."""
    from nabi.wiring import get_platform

    platform = get_platform()
    if again:
        platform.notices.try_again()
    rows = [
        {
            "at": notice.at,
            "event": notice.event,
            "state": notice.state,
            "what": notice.sentence,
            "tries": notice.num_tries,
            "error": notice.last_error,
        }
        for notice in platform.notices.latest(num)
    ]
    show(rows, as_json=as_json, title="Notices", empty="Nothing to tell.")
    if rows and not as_json and platform.settings.webhook_url is None:
        console.print("No webhook is set, so nobody was told: set NABI_WEBHOOK_URL.")
