"""What a conversation means that is delivered again under an id that is held already.

Systems export the same rows again and again. Five things may honestly have changed since: a person took the consent
back, somebody reacted to the answer, a reviewer wrote a golden one, the persona declares another basis, or nothing.
Anything else is another conversation under a taken id, and that is refused: nothing that was said is ever overwritten.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from nabi.conversations.records import Consent, Conversation

Change = Literal["none", "withdrawn", "golden", "reacted", "other"]


def change_between(held: Conversation, delivered: Conversation) -> Change:
    """What changed for the store.

    Returns:
        none: nothing; or the delivery is older than a withdrawal, a reaction or a golden answer that is held, and that
            stands.
        withdrawn: only that training is no longer allowed.
        golden: only that a golden answer takes the place of the last one.
        reacted: only that the user's reaction is known now.
        other: what was said or delivered differs.
    """
    if _said(held, delivered) != _said(delivered, held):
        return "other"
    if _allows(held.consent) and not _allows(delivered.consent):
        return "withdrawn"
    if held.consent != delivered.consent and held.consent.withdrawn_at is None:
        return "other"
    if delivered.golden and delivered.messages != held.messages:
        return "golden"
    if held.feedback is None and delivered.feedback is not None and not held.golden:
        return "reacted"
    return "none"


def after(held: Conversation, delivered: Conversation, change: Change, now: datetime) -> Conversation:
    """The held conversation with the change in it. A withdrawal without a date counts from `now`."""
    if change == "withdrawn":
        withdrawn_at = delivered.consent.withdrawn_at or now
        return held.model_copy(update={"consent": delivered.consent.model_copy(update={"withdrawn_at": withdrawn_at})})
    if change == "golden":
        return delivered.model_copy(
            update={"consent": held.consent, "basis": held.basis, "occurred_at": held.occurred_at}
        )
    if change == "reacted":
        return held.model_copy(update={"feedback": delivered.feedback})
    return held


def _said(one: Conversation, other: Conversation) -> dict[str, Any]:
    """Everything but what may change."""
    fields = one.model_dump(exclude={"consent", "basis", "golden"})
    if one.basis and other.basis:
        del fields["occurred_at"]  # rows without a time of their own take the basis's day, and a basis is renewed
    if one.golden or other.golden:
        fields["messages"] = one.messages[:-1]
        del fields["feedback"], fields["adapter_version"]  # they are about the answer that is not there any more
    elif one.feedback is None or other.feedback is None:
        del fields["feedback"]  # a reaction comes later than the answer, or not at all
    return fields


def _allows(consent: Consent) -> bool:
    return consent.training and consent.withdrawn_at is None and consent.guardian is not False
