"""Bringing an export in: every row ends up in the store, known already, or set apart with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from nabi.conversations.sources.fields import MAX_EXCERPT_CHARS
from nabi.conversations.sources.registry import SOURCES, Source
from nabi.conversations.sources.rows import UNUSABLE_ROW, Accepted, Delivery, Refused, Row
from nabi.conversations.sources.search import GoldenAnswers, read_golden_answers
from nabi.conversations.store import Added, ConversationStore, SetApart
from nabi.database.inserts import batches
from nabi.errors import ConfigError
from nabi.personas.model import Persona

__all__ = ["UNUSABLE_ROW", "IngestReport", "SpeakerCount", "ingest_file"]

NOBODY: Mapping[str, Persona] = MappingProxyType({})


@dataclass(frozen=True)
class SpeakerCount:
    """How much a speaker says in a file; requirement B1 asks for at least 20 utterances.

    Args:
        persona_id: who learns from it; None when no persona does.
        num_utterances: in the file.
        num_accepted: those that answer somebody and may be stored.
    """

    speaker: str
    persona_id: str | None
    num_utterances: int
    num_accepted: int


@dataclass
class IngestReport:
    """What became of a file's rows; accepted, known, withdrawn, golden and refused add up to its rows.

    Args:
        recognised: what the file was taken for.
        accepted: conversations that are new in the store.
        known: conversations that were there already with the same content.
        refused: rows kept out, in the order of the file; they are set apart too.
        withdrawn: ids of stored conversations whose consent this file takes back.
        golden: ids of stored conversations whose answer a golden one now replaces.
        personas: rows that could be stored, by persona: what a file of many personas was split into.
        speakers: of a file that names them.
        golden_refused: rows of the golden answers' file that could not be used.
        golden_unused: request ids with a golden answer that no row of the file had.
    """

    recognised: str = ""
    accepted: int = 0
    known: int = 0
    refused: list[Refused] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    golden: list[str] = field(default_factory=list)
    personas: Counter[str] = field(default_factory=Counter)
    speakers: list[SpeakerCount] = field(default_factory=list)
    golden_refused: list[Refused] = field(default_factory=list)
    golden_unused: list[str] = field(default_factory=list)


def ingest_file(
    path: Path,
    source: str,
    store: ConversationStore,
    persona_id: str | None,
    key: bytes,
    *,
    personas: Mapping[str, Persona] = NOBODY,
    golden: Path | None = None,
    happened_at: datetime | None = None,
) -> IngestReport:
    """Read an export into the store. A second time adds nothing, so an interrupted call is simply repeated.

    Args:
        source: one of `SOURCES`.
        persona_id: whose conversations these are; None when each row says so.
        key: of the users' hashes, from `nabi.conversations.keys.load_or_create_key`.
        personas: who is known here; meetings, search logs and instruction sets need their speakers and bases.
        golden: golden answers for a search log.
        happened_at: when it was said, for files that do not tell.

    Raises:
        ConfigError: no reader for this source, no such persona, or golden answers for another source.
        DataError: a file cannot be opened.
        TransientError: the database is locked or away.
    """
    chosen = _source(source)
    if golden is not None and source != "search":
        raise ConfigError(
            "golden answers replace the labels of a search log.", where="golden", fix="Use source search."
        )
    if personas and persona_id is not None and persona_id not in personas:
        raise ConfigError(f"there is no persona {persona_id!r}.", where="persona", fix=f"Use {', '.join(personas)}.")
    answers = read_golden_answers(golden) if golden is not None else GoldenAnswers({}, [])
    delivery = Delivery(key, persona_id, personas, answers.answers, happened_at)
    report = IngestReport(recognised=chosen.recognise(path), golden_refused=answers.refused)
    seen = _Seen(set(answers.answers))
    for rows in batches(seen.through(chosen.read(path, delivery))):
        _take(rows, store, report, path, source)
    report.speakers = seen.speakers()
    report.golden_unused = sorted(seen.golden_left)
    return report


def _source(name: str) -> Source:
    source = SOURCES.get(name)
    if source is None:
        raise ConfigError(f"no reader for the source {name!r}.", where="source", fix=f"Use {', '.join(SOURCES)}.")
    return source


def _take(rows: list[Row], store: ConversationStore, report: IngestReport, path: Path, source: str) -> None:
    fit = [row for row in rows if isinstance(row, Accepted)]
    added = store.add(row.conversation for row in fit)
    unfit = [row for row in rows if isinstance(row, Refused)]
    store.set_apart_rows(_as_set_apart(row, path, source) for row in unfit)
    unstored = [_as_refused(fit[conversation.place], conversation.reason) for conversation in added.refused]
    _count(report, fit, added)
    report.refused += sorted([*unfit, *unstored], key=lambda row: row.line)


def _count(report: IngestReport, fit: list[Accepted], added: Added) -> None:
    places = {conversation.place for conversation in added.refused}
    report.accepted += added.num_new
    report.known += added.num_known
    report.withdrawn += added.withdrawn
    report.golden += added.golden
    report.personas.update(row.conversation.persona_id for place, row in enumerate(fit) if place not in places)


class _Seen:
    """What is counted while rows pass by."""

    def __init__(self, golden: set[str]) -> None:
        self.golden_left = golden
        self._utterances: Counter[tuple[str, str | None]] = Counter()
        self._accepted: Counter[tuple[str, str | None]] = Counter()

    def through(self, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            self._look_at(row)
            yield row

    def _look_at(self, row: Row) -> None:
        if isinstance(row, Accepted) and self.golden_left:
            self.golden_left.discard(row.conversation.conversation_id.removeprefix("search/"))
        if row.speaker is None:
            return
        accepted = isinstance(row, Accepted)
        whose = row.conversation.persona_id if isinstance(row, Accepted) else row.persona_id
        self._utterances[row.speaker, whose] += 1
        self._accepted[row.speaker, whose] += accepted

    def speakers(self) -> list[SpeakerCount]:
        """Those who say most first."""
        return [
            SpeakerCount(speaker, persona_id, num, self._accepted[speaker, persona_id])
            for (speaker, persona_id), num in self._utterances.most_common()
        ]


def _as_set_apart(row: Refused, path: Path, source: str) -> SetApart:
    field = f"{row.field}: " if row.field else ""
    return SetApart(
        persona_id=row.persona_id,
        source=source,
        reason=row.phrase,
        detail=f"{path.name} line {row.line}: {field}{row.reason}",
        user_key=row.user_key,
        raw=row.excerpt,
    )


def _as_refused(row: Accepted, reason: str) -> Refused:
    """A row that was read well and that the store would not have; the store has set it apart itself."""
    conversation = row.conversation
    return Refused(
        line=row.line,
        field="conversation_id",
        reason=f"{conversation.conversation_id}: {reason}",
        excerpt=conversation.model_dump_json()[:MAX_EXCERPT_CHARS],
        persona_id=conversation.persona_id,
        user_key=conversation.user_key,
        phrase=reason,
        speaker=row.speaker,
    )
