"""What was said in a meeting, as samples: what each speaker answered to what others had just said.

Consecutive segments of one speaker are one utterance. An utterance becomes a conversation of its own: what others said
since the speaker's last words is the user's turn, the utterance is the answer. So nobody learns to say what another
person said, and what comes after a row that could not be read answers nothing that is known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from nabi.conversations.keys import user_key
from nabi.conversations.records import Basis, Consent, Conversation, Message
from nabi.conversations.sources.fields import RowError, or_none, refused, shown
from nabi.conversations.sources.lines import Line
from nabi.conversations.sources.owners import owner_of_speaker, same_name
from nabi.conversations.sources.permission import declared_basis
from nabi.conversations.sources.rows import ANSWERS_NOTHING, Accepted, Delivery, Refused, Row

MAX_QUOTED = 3
"""Utterances of others that make the user's turn: the last ones, which is what a speaker answers."""


@dataclass(frozen=True)
class Segment:
    """A piece of speech. `speaker` is an id or a name, as the transcript has it; `start` in seconds, if it says."""

    line: Line
    speaker: str
    text: str
    start: float | None = None


@dataclass(frozen=True)
class Participant:
    """Somebody who was there. `consent` is None when the transcript says nothing about it."""

    speaker_id: str | None = None
    name: str | None = None
    consent: Consent | None = None

    @property
    def called(self) -> str:
        return self.name or self.speaker_id or ""


@dataclass(frozen=True)
class Meeting:
    """A transcript.

    Args:
        parts: segments in the order of the file, and rows that could not be read, each where it stood.
        problem: why no segment can be used, for what the meeting as a whole lacks.
        carries_consent: the transcript says who agreed; who is not named then did not.
    """

    meeting_id: str
    started_at: datetime | None
    parts: Sequence[Segment | Refused]
    participants: Sequence[Participant] = ()
    problem: RowError | None = None
    carries_consent: bool = False


@dataclass
class _Utterance:
    """Consecutive segments of one speaker."""

    number: int
    who: Participant
    segments: list[Segment] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(segment.text.strip() for segment in self.segments)

    @property
    def line(self) -> Line:
        first = self.segments[0].line
        said = "\n".join(segment.line.text or "" for segment in self.segments)
        return Line(first.number, said, "", said.encode("utf-8", "backslashreplace"))


def rows_of(meeting: Meeting, delivery: Delivery) -> Iterator[Row]:
    """Each utterance, and each row that could not be read, accepted or refused, in the order of the speech."""
    earlier: deque[_Utterance] = deque(maxlen=MAX_QUOTED)
    for part in _utterances(meeting, delivery):
        if isinstance(part, Refused):
            earlier.clear()
            yield part
            continue
        yield _row(part, earlier, meeting, delivery)
        earlier.append(part)


def _utterances(meeting: Meeting, delivery: Delivery) -> Iterator[_Utterance | Refused]:
    number = 0
    current: _Utterance | None = None
    for part in _in_order(meeting.parts):
        who = _participant(part.speaker, meeting, delivery) if isinstance(part, Segment) else None
        if current is not None and who != current.who:
            yield current
            current = None
        if isinstance(part, Refused):
            yield part
        elif who is not None:
            number += current is None
            current = current or _Utterance(number, who)
            current.segments.append(part)
    if current is not None:
        yield current


def _in_order(parts: Iterable[Segment | Refused]) -> list[Segment | Refused]:
    """By their start where all have one, each unreadable row after the segment that it followed."""
    listed = list(parts)
    starts = [part.start for part in listed if isinstance(part, Segment)]
    if any(start is None for start in starts):
        return listed
    keys: list[float] = []
    for part in listed:
        keys.append(part.start or 0.0 if isinstance(part, Segment) else keys[-1] if keys else 0.0)
    return [listed[place] for place in sorted(range(len(listed)), key=keys.__getitem__)]


def _participant(speaker: str, meeting: Meeting, delivery: Delivery) -> Participant:
    """The participant a segment names, by id before name. Who is not listed is known by what the segment says."""
    for who in meeting.participants:
        if who.speaker_id == speaker:
            return who
    named = [who for who in meeting.participants if who.name is not None and same_name(who.name, speaker)]
    if len(named) == 1:
        return named[0]
    # Of two people with one name nobody can tell whose words these are: neither is taken.
    is_id = not named and any(p.speaker and p.speaker.id == speaker for p in delivery.personas.values())
    return Participant(speaker_id=speaker) if is_id else Participant(name=speaker)


def _row(utterance: _Utterance, earlier: Sequence[_Utterance], meeting: Meeting, delivery: Delivery) -> Row:
    owner = or_none(owner_of_speaker, utterance.who.speaker_id, utterance.who.name, delivery)
    try:
        if meeting.problem is not None:
            raise meeting.problem
        return Accepted(
            utterance.line.number, _conversation(utterance, earlier, meeting, delivery), utterance.who.called
        )
    except RowError as error:
        key = _key(utterance.who, delivery)
        return refused(utterance.line, error, persona_id=owner, key=key, speaker=utterance.who.called)


def _conversation(
    utterance: _Utterance, earlier: Sequence[_Utterance], meeting: Meeting, delivery: Delivery
) -> Conversation:
    who = utterance.who
    _hold_unlike_names(who, meeting.participants)
    persona_id = owner_of_speaker(who.speaker_id, who.name, delivery)
    occurred_at = _occurred_at(utterance, meeting)
    quoted = _quoted(who, earlier)
    others = list({_key(one.who, delivery): one.who for one in quoted}.items())
    consent, basis = _permission([who, *(other for _key, other in others)], persona_id, meeting, delivery)
    if not quoted:
        raise RowError("text", "nobody else is known to have spoken before", ANSWERS_NOTHING)
    said = (
        # Without their names: those are personal, and a chat's user turn names nobody either.
        Message(role="user", content="\n".join(one.text for one in quoted)),
        Message(role="assistant", content=utterance.text),
    )
    return Conversation(
        conversation_id=f"meeting/{meeting.meeting_id}#{utterance.number:04d}",
        persona_id=persona_id,
        source="meeting",
        occurred_at=occurred_at,
        messages=said,
        user_key=_key(who, delivery),
        consent=consent,
        basis=basis,
        other_keys=tuple(key for key, _other in others),
    )


def _hold_unlike_names(who: Participant, participants: Sequence[Participant]) -> None:
    namesakes = [other for other in participants if other.name and who.name and same_name(other.name, who.name)]
    if len(namesakes) > 1 and who.speaker_id is None:
        raise RowError("speaker", f"{len(namesakes)} participants are called {shown(who.name)}; use their speaker_id")


def _quoted(who: Participant, earlier: Sequence[_Utterance]) -> list[_Utterance]:
    """The last things others said since `who` last spoke, oldest first."""
    quoted: list[_Utterance] = []
    for utterance in reversed(earlier):
        if utterance.who == who or len(quoted) == MAX_QUOTED:
            break
        quoted.insert(0, utterance)
    return quoted


def _permission(
    people: Sequence[Participant], persona_id: str, meeting: Meeting, delivery: Delivery
) -> tuple[Consent, Basis | None]:
    """What everybody whose words are in it allowed: one no is a no for all, and a transcript's word beats a basis."""
    if not meeting.carries_consent:
        basis = declared_basis(persona_id, "meeting", delivery)
        return Consent(training=True), basis
    given = [who.consent or Consent() for who in people]
    return Consent(
        training=all(consent.training for consent in given),
        given_at=max((consent.given_at for consent in given if consent.given_at), default=None),
        withdrawn_at=min((consent.withdrawn_at for consent in given if consent.withdrawn_at), default=None),
        guardian=_guardian([consent.guardian for consent in given]),
    ), None


def _guardian(said: Sequence[bool | None]) -> bool | None:
    told = [one for one in said if one is not None]
    return all(told) if told else None


def _occurred_at(utterance: _Utterance, meeting: Meeting) -> datetime:
    if meeting.started_at is None:
        raise RowError("started_at", "nobody says when the meeting was: not the file, not its name, not the caller")
    try:
        return meeting.started_at + timedelta(seconds=utterance.segments[0].start or 0)
    except OverflowError as error:
        raise RowError("started_at", "the meeting lies at the end of the calendar") from error


def _key(who: Participant, delivery: Delivery) -> str:
    """The person's keyed hash: of the id that the transcript, or else a persona, knows them by; or of the name."""
    known = who.speaker_id
    if known is None:
        declared = [p.speaker for p in delivery.personas.values() if p.speaker and p.speaker.id]
        known = next((s.id for s in declared if any(same_name(name, who.called) for name in s.names)), None)
    return user_key(known or who.called, delivery.key)
