"""Synthesize: a teacher makes up questions and answers about the items that a search can find (requirement D3).

Each item is asked about once. What came of it is written before the next one is asked, so that a call that was
interrupted is simply repeated: it asks only about what is missing.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nabi.conversations.ingest import IngestReport, ingest_file
from nabi.conversations.keys import load_or_create_key
from nabi.conversations.records import Fact
from nabi.conversations.sources import fields
from nabi.conversations.sources.fields import RowError
from nabi.conversations.sources.items import NAME, read_items
from nabi.conversations.sources.rows import Refused
from nabi.datasets.samples import render_facts
from nabi.datasets.teacher import Pair, ask_for_pairs, read_pairs
from nabi.errors import ConfigError, DataError, TransientError
from nabi.evaluation.claims import Given, Vocabulary, claims_of
from nabi.evaluation.hard_gates import Answered, broken_rules, language
from nabi.integrations.openai_chat import ChatServer
from nabi.personas.model import Persona
from nabi.wiring import Platform

TAG = "synthetic"
"""The style tag of every row that a teacher made, beside `teacher=MODEL`."""

MAX_QUESTION_CHARS = 300
_AT_ONCE = 4
_TRIES = 3
_GIVE_UP_AFTER = 3
"""Items in a row that got no reply for good: the teacher is away, and each of them costs minutes."""
_MAX_TAG_CHARS = fields.MAX_NAME_CHARS


@dataclass
class Synthesis:
    """What came of a file of items.

    Args:
        num_items: in the file, each once.
        num_known: of them, asked about by an earlier call.
        refused_items: rows of the file that are no items.
        num_kept: pairs written by this call.
        reasons: pairs that were not, by reason.
        unanswered: names of items that got no reply.
        merged: what became of the written rows in the store; None where they were only written.
    """

    num_items: int
    num_known: int
    refused_items: tuple[Refused, ...]
    num_kept: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    unanswered: list[str] = field(default_factory=list)
    merged: IngestReport | None = None


def synthesize(
    platform: Platform,
    items: Path,
    persona_id: str,
    teacher: ChatServer,
    *,
    num: int,
    beside: int,
    out: Path,
    merge: bool,
    tell: Callable[[str], None] = lambda _line: None,
) -> Synthesis:
    """Has a teacher make up pairs about each item, keeps the fit ones in a file, and brings that in.

    Args:
        persona_id: who will learn from them; it must declare a basis to learn from instruction sets.
        num: pairs to ask for about each item.
        beside: other items that a question is shown with, as a search finds more than the right one.
        out: JSON lines, as `nabi ingest --source agents` reads them; what it holds already stays.
        merge: whether the rows come into the store, as that command would bring them.
        tell: is told what came of each item.

    Raises:
        ConfigError: there is no such persona, it declares no basis, or the teacher refuses the request.
        DataError: a file cannot be read, or holds no item.
        TransientError: the teacher is away; what was made so far is in the file.
    """
    persona = platform.persona(persona_id)
    if not any(basis.source == "agents" for basis in persona.basis):
        raise ConfigError(
            f"{persona_id} declares no basis to learn from what a model made up.",
            where=f"persona {persona_id}",
            fix="Declare one, `basis: {source: agents, by: …, on: …, why: …}`, see docs/sources.md.",
        )
    found = read_items(items)
    if not found.facts:
        raise DataError("there is no item in it.", where=str(items), fix="Items have a name and more: docs/sources.md.")
    written = _Written(out)
    asking = [item for item in found.facts if digest_of(item) not in written.items]
    done = Synthesis(len(found.facts), len(found.facts) - len(asking), found.refused)
    making = _Making(persona, teacher.model, found.facts, beside=beside, seed=platform.settings.seed)
    with closing(_replies(persona, teacher, asking, num)) as replies:
        _keep_fit(replies, making, written, done, tell)
    if merge:
        key = load_or_create_key(platform.settings.state / "secrets" / "user.key")
        personas = platform.personas()
        done.merged = ingest_file(out, "agents", platform.store, persona_id, key, personas=personas)
    return done


def _keep_fit(
    replies: Iterable[tuple[Fact, str | TransientError]],
    making: _Making,
    written: _Written,
    done: Synthesis,
    tell: Callable[[str], None],
) -> None:
    num_silent = 0
    for item, said in replies:
        if isinstance(said, TransientError):
            done.unanswered.append(item[NAME])
            num_silent += 1
            if num_silent >= _GIVE_UP_AFTER:
                raise TransientError(
                    f"the teacher is away ({said}).",
                    where=str(written.path),
                    fix="What was made so far is in that file; the same command goes on with what is missing.",
                ) from said
            continue
        num_silent = 0
        rows = making.rows(item, read_pairs(said), written.questions, done.reasons)
        written.add(item, rows)
        done.num_kept += len(rows)
        tell(f"{item[NAME]}: {len(rows)} kept")


def why_unfit(pair: Pair, item: Fact, persona: Persona) -> str | None:
    """Why nobody should learn from a pair, as a phrase to be counted; None when it is fit."""
    return _why_unfit_by_form(pair, item, persona) or _why_unfit_by_content(pair, item, persona)


def _why_unfit_by_form(pair: Pair, item: Fact, persona: Persona) -> str | None:
    rules = persona.evaluation
    try:
        fields.text(pair.question, "question")
        fields.text(pair.answer, "answer")
    except RowError:
        return "damaged text"
    if not 2 <= len(pair.question) <= MAX_QUESTION_CHARS:
        return "a question too short or too long"
    if not rules.min_answer_chars <= len(pair.answer) <= rules.max_answer_chars:
        return "an answer too short or too long"
    return None if item[NAME] in pair.answer else "an answer that does not name the item"


def _why_unfit_by_content(pair: Pair, item: Fact, persona: Persona) -> str | None:
    given = Given(facts=(item,), turns=pair.question, asked=pair.question)
    if any(not claim.supported for claim in claims_of(pair.answer, given, Vocabulary())):
        return "an answer that claims what the item does not say"
    shown = render_facts([item])
    if language(Answered(pair.question, shown, persona)):
        return "a question in another language"
    broken = broken_rules(pair.answer, f"{pair.question}\n{shown}", persona)
    return f"breaks a rule: {next(iter(broken))}" if broken else None


def digest_of(item: Fact) -> str:
    """What an item is known by between two calls."""
    return hashlib.sha256(json.dumps(item, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:16]


def _replies(
    persona: Persona, teacher: ChatServer, items: Sequence[Fact], num: int
) -> Generator[tuple[Fact, str | TransientError]]:
    """Each item with what the teacher said, or why it said nothing, in their order; a few are asked about at once."""

    def ask(item: Fact) -> str | TransientError:
        question = ask_for_pairs(persona, item, num)
        for left in reversed(range(_TRIES)):
            try:
                return teacher.ask(question)
            except TransientError as error:
                if not left:
                    return error
                time.sleep(_TRIES - left)
        raise AssertionError("the last try returns")

    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="nabi-teacher")
    try:
        yield from zip(items, pool.map(ask, items), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


class _Making:
    """Turns pairs into rows of an instruction set."""

    def __init__(self, persona: Persona, model: str, items: Sequence[Fact], *, beside: int, seed: int) -> None:
        self._persona = persona
        self._tags = [TAG, f"teacher={''.join(sign for sign in model if sign.isprintable())}"[:_MAX_TAG_CHARS]]
        self._items = items
        self._beside = beside
        self._seed = seed

    def rows(
        self, item: Fact, pairs: Sequence[Pair], asked_before: set[str], reasons: Counter[str]
    ) -> list[dict[str, Any]]:
        """The fit ones; the others are counted by their reasons."""
        if not pairs:
            reasons["a reply without a pair"] += 1
        kept = []
        for pair in pairs:
            why = why_unfit(pair, item, self._persona)
            if why is None and squeezed(pair.question) in asked_before:
                why = "a question asked before"
            if why is not None:
                reasons[why] += 1
                continue
            asked_before.add(squeezed(pair.question))
            kept.append(self._row(item, pair))
        return kept

    def _row(self, item: Fact, pair: Pair) -> dict[str, Any]:
        draw = random.Random(f"{self._seed} {digest_of(item)} {pair.question}")
        others = [other for other in self._items if other != item]
        shown = draw.sample(others, min(self._beside, len(others)))
        shown.insert(draw.randint(0, len(shown)), item)
        topic = item.get("분류", "")
        return {
            "id": fields.content_id("synthetic/sha-", self._persona.id, pair.question, pair.answer, shown),
            "persona_id": self._persona.id,
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "prompt": pair.question,
            "completion": pair.answer,
            "retrieved_items": shown,
            "style_tags": self._tags,
            **({"topic": topic} if topic and len(topic) <= _MAX_TAG_CHARS else {}),
        }


class _Written:
    """The file of rows, and one beside it that lists the items which were asked about, with a fit pair or without."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._asked = path.with_name(f"{path.name}.asked")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.questions = {squeezed(str(row.get("prompt", ""))) for row in _rows_of(path)}
        self.items = {str(row.get("item", "")) for row in _rows_of(self._asked)}

    def add(self, item: Fact, rows: Sequence[dict[str, Any]]) -> None:
        """Writes what came of an item; that it was asked about comes last."""
        _append(self.path, rows)
        _append(self._asked, [{"item": digest_of(item), "name": item[NAME], "kept": len(rows)}])


def squeezed(question: str) -> str:
    """What is left of a question when only spacing, signs and case differ."""
    return "".join(sign for sign in question.casefold() if sign.isalnum())


def _append(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of an earlier call. A last line without its end was being written when that was killed: it is cut off.

    Raises:
        DataError: the file is something else.
    """
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        path.write_bytes(whole)
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise DataError(
                "the file is there already and holds something else.",
                where=f"{path} line {number}",
                fix="Write elsewhere with --out.",
            )
        yield row
