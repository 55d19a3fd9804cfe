"""Notify: what a person must hear of goes out through the webhook. No event marks a silence: it is noticed here."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from nabi.errors import TransientError
from nabi.integrations.webhook import post_json
from nabi.registry.notices import Event, Notice
from nabi.registry.silences import Silence, skipped, undeployed
from nabi.wiring import Platform

logger = logging.getLogger("nabi.progress")

PAYLOAD_VERSION = 1


@dataclass(frozen=True)
class Delivery:
    """What became of the notices whose turn it was. Without a webhook they wait and are listed by `nabi notices`."""

    num_delivered: int = 0
    num_missed: int = 0
    num_given_up: int = 0


LATE = timedelta(hours=6)
"""A request to forget waits for steps that use conversations; the loop's period, in which a training has ended."""


def deliver_notices(platform: Platform) -> Delivery:
    """Notes silences and what waits too long, then delivers what is due.

    At least once each, in order, nothing given up without a word.

    It takes ten seconds at most while the receiver is away: the first notice that is missed ends the round.
    """
    now = datetime.now(UTC)
    note_silences(platform, now)
    note_late_deletions(platform, now)
    url = platform.settings.webhook_url
    if url is None:
        return Delivery()
    num_delivered = 0
    for notice in platform.notices.claim():
        try:
            post_json(str(url), payload(notice), idempotency_key=notice.id)
        except TransientError as error:
            given_up = platform.notices.missed(notice, error.what)
            if given_up:
                logger.error("gave up telling a person after a week: %s (%s)", notice.sentence, error.what)
            return Delivery(num_delivered, num_missed=1, num_given_up=int(given_up))
        platform.notices.delivered(notice.id)
        num_delivered += 1
    return Delivery(num_delivered)


def payload(notice: Notice) -> dict[str, Any]:
    """The JSON that is posted. `text` is the sentence again, under the name that chat tools read."""
    return {
        "version": PAYLOAD_VERSION,
        "id": notice.id,
        "event": notice.event,
        "persona": notice.persona_id,
        "at": notice.at.isoformat(),
        "text": notice.sentence,
        "facts": dict(notice.facts),
    }


def note_silences(platform: Platform, now: datetime) -> None:
    """A notice for every persona that trained or deployed nothing for `quiet_days`, and again after as many days."""
    quiet = timedelta(days=platform.settings.quiet_days)
    for persona_id in platform.persona_ids():
        ended = platform.journal.ended(persona_id)
        live = platform.ledger.live(persona_id)
        # Who skips everything deploys nothing either; one word on it is enough.
        if (silence := skipped(ended)) and now - silence.since >= quiet:
            _note(platform, "skipped_for_days", persona_id, silence, now=now)
        elif (silence := undeployed(ended, live.since if live else None)) and now - silence.since >= quiet:
            _note(platform, "nothing_deployed", persona_id, silence, now=now)


def note_late_deletions(platform: Platform, now: datetime) -> None:
    """A notice for every request to forget that is not finished after `LATE`, and again each day."""
    for erasure in platform.store.erasures.pending():
        waited = now - erasure.requested_at
        if waited < LATE:
            continue
        hours = int(waited / timedelta(hours=1))
        platform.notices.note(
            "deletion_waits",
            None,
            f"Request {erasure.id} to forget is not finished after {hours} hours. It is tried again each hour;"
            " what holds it up says: nabi forget --resume",
            {"request": erasure.id, "since": erasure.requested_at.isoformat(), "hours": hours},
            occasion=f"{erasure.id}:{waited.days}",
        )


_WHAT: dict[Event, str] = {
    "skipped_for_days": "every window was skipped",
    "nothing_deployed": "nothing was deployed",
}


def _note(platform: Platform, event: Event, persona_id: str, silence: Silence, *, now: datetime) -> None:
    days = silence.days(now)
    platform.notices.note(
        event,
        persona_id,
        f"{persona_id}: {_WHAT[event]} for {days} days, because: {silence.because}.",
        {"days": days, "since": silence.since.isoformat(), "windows": silence.num_windows}
        | {"reasons": dict(silence.reasons)},
        occasion=f"{silence.since:%Y%m%dT%H%M}:{days // platform.settings.quiet_days}",
    )
