"""What curation or a reader set apart, looked through by a person: released to be learned from, or dropped for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nabi.conversations.erasure import REASONS
from nabi.conversations.records import Conversation
from nabi.conversations.store import SetApart, corrected
from nabi.curation.chain import recheck
from nabi.curation.released import NEVER_RELEASED
from nabi.errors import ConfigError, DataError
from nabi.steps.forget import finish_pending
from nabi.wiring import Platform

WORST = -1.0
"""The feedback of an answer that an operator marked bad."""


@dataclass(frozen=True)
class Reviewed:
    """Something set apart, and the conversation behind it; None for a row that never became one, or is gone."""

    item: SetApart
    conversation: Conversation | None


def look(platform: Platform, number: int) -> Reviewed:
    """One thing that was set apart.

    Raises:
        ConfigError: there is none of that number.
    """
    item = platform.store.get_set_apart(number)
    if item is None:
        raise ConfigError(
            f"nothing was set apart under the number {number}.", fix="List what there is: nabi review list PERSONA"
        )
    # A row with its own text was refused by the store or a reader: the id may belong to another conversation.
    held = platform.store.get(item.conversation_id) if item.conversation_id and item.raw is None else None
    return Reviewed(item, held)


def release(platform: Platform, numbers: Sequence[int], *, who: str) -> list[Reviewed]:
    """Lets these pass the filter that set them apart; every other filter still judges them. All of them or none.

    Raises:
        DataError: one of them cannot be released.
    """
    chosen = [look(platform, number) for number in numbers]
    for reviewed in chosen:
        _ensure_releasable(reviewed)
    platform.store.release(numbers, who=who)
    return chosen


def drop(platform: Platform, numbers: Sequence[int], *, who: str) -> list[Reviewed]:
    """Removes the words of these, here and wherever they went, and never considers them again."""
    chosen = [look(platform, number) for number in numbers]
    if platform.store.drop(numbers, who=who):
        finish_pending(platform)
    return chosen


def mark_bad(platform: Platform, conversation_id: str) -> None:
    """Marks the last answer of a conversation as one that must not be given again.

    Raises:
        DataError: no such conversation is held, or its answer was corrected.
    """
    held = _held(platform, conversation_id)
    if held.golden:
        raise DataError(
            "its answer is a golden one by now; the one before it is a bad answer already.",
            where=conversation_id,
            fix='Give a better one still: nabi review correct CONVERSATION "…"',
        )
    platform.store.react(conversation_id, WORST)


def correct(platform: Platform, conversation_id: str, answer: str, *, who: str) -> None:
    """Puts a better answer in the place of a conversation's last one, which becomes a bad answer.

    The next training imitates the better one and learns that it beats the other.

    Raises:
        DataError: no such conversation is held, or the better answer would be refused.
    """
    held, better = _held(platform, conversation_id), answer.strip()
    if not better or "\0" in better or better == held.messages[-1].content.strip():
        raise DataError(
            "a better answer is another text, without NUL characters.",
            where=conversation_id,
            fix="Write what should have been said.",
        )
    released = platform.store.released(held.persona_id)
    judged = recheck([corrected(held, better)], platform.persona(held.persona_id), released)
    if judged.refused:
        refusal = judged.refused[0]
        raise DataError(
            f"it would not be learned from: {refusal.reason} ({refusal.detail}).",
            where=conversation_id,
            fix="Change the answer; what is said against the conversation itself cannot be mended here.",
        )
    platform.store.correct(conversation_id, better, who=who)


def _held(platform: Platform, conversation_id: str) -> Conversation:
    held = platform.store.get(conversation_id)
    if held is None or platform.store.erasures.of_conversation(conversation_id) is not None:
        raise DataError(
            "no such conversation is held.",
            where=conversation_id,
            fix="`nabi review list PERSONA` and `nabi lineage` name conversations.",
        )
    return held


def _ensure_releasable(reviewed: Reviewed) -> None:
    item = reviewed.item
    where = f"number {item.id}"
    if item.decision == "corrected":
        raise DataError("a better answer stands in its place.", where=where, fix="There is nothing left to release.")
    if item.decision == "dropped" or item.reason in REASONS.values():
        raise DataError("its words are gone.", where=where, fix="What was dropped or deleted cannot come back.")
    if item.reason in NEVER_RELEASED:
        raise DataError(
            f"it was set apart for {item.reason}, which nobody may overrule.",
            where=where,
            fix="Ask the person; a consent given anew comes in with the next delivery.",
        )
    if reviewed.conversation is None:
        raise DataError(
            f"it never became a conversation ({item.reason}).",
            where=where,
            fix="Mend the row where it came from and bring it in again: nabi ingest FILE",
        )
