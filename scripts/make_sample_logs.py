"""Make the chat logs of the four windows that `make run` plays: `examples/logs/window-1.jsonl` … `window-4.jsonl`.

Run `python scripts/make_sample_logs.py`. Everything follows from the seed and `sample_data.xlsx`: the same input gives
the same bytes. The children are invented. What each row was shown (`retrieved_items`) is what the lookup finds at the
row's moment, exactly as in serving.

- 1, morning: few children, answered by the chatbot.
- 2, afternoon: more, still few.
- 3, evening: many, about what the catalogue dialogues are about too.
- 4, night: operators answer what the chatbot could not: allergens, coupons, delivery.

Each window also holds rows that must not be used: no consent, no guardian's, or a useless answer.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sample_log_words as words

from nabi.catalogue.dialogues import answer_to
from nabi.catalogue.lookup import LOCAL_TIME, Lookup, find_facts
from nabi.catalogue.model import Catalogue
from nabi.catalogue.workbook import read_workbook
from nabi.conversations.records import Fact, Message

ROOT = Path(__file__).resolve().parents[1]
SEED = 20260701
PERSONA = "nabiyam"
DAILY_LIMIT = 8000
FOODS = ("한식", "분식", "중식", "일식", "피자", "치킨", "패스트푸드", "도시락", "디저트")
PLACES = ("분식집", "중국집", "빵집", "카페", "편의점", "피자집", "햄버거집", "치킨집", "한식집", "도시락집")
PRICES = (
    "3천원",
    "3,500원",
    "4천원",
    "4500원",
    "5천원",
    "5,500원",
    "육천원",
    "6천5백원",
    "7천원",
    "7,500원",
    "8천원",
    "만원",
)
SPOKEN_ALLERGENS = ("우유", "계란", "밀가루", "땅콩", "새우", "돼지고기", "콩", "토마토", "닭고기", "소고기")
KEPT_MISSES = 0.3
"""Share of the questions that find nothing that is kept: children do ask for what is not there, but not mostly."""


@dataclass(frozen=True)
class Window:
    """Six hours of a log. `kinds` gives each kind's weight; hours are those in which people write."""

    number: int
    first: datetime
    last: datetime
    num_usable: int
    source: str
    kinds: dict[str, int]
    unusable: tuple[str, ...]


DAY_KINDS = {"category": 22, "menu": 22, "budget": 20, "time": 12, "trait": 8, "best": 7, "followup": 7, "smalltalk": 2}
NIGHT_KINDS = {"allergy": 40, "coupon": 30, "delivery": 30}


def _at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 7, day, hour, minute, tzinfo=LOCAL_TIME)


WINDOWS = (
    Window(1, _at(1, 7, 30), _at(1, 11, 55), 12, "chat", DAY_KINDS, ("no consent", "laughter")),
    Window(
        2, _at(1, 12), _at(1, 17, 55), 25, "chat", DAY_KINDS,
        ("no consent", "missing consent", "cut off", "laughter"),
    ),
    Window(
        3, _at(1, 18), _at(1, 21, 40), 70, "chat", DAY_KINDS,
        ("no consent", "no consent", "missing consent", "no guardian", "withdrawn", "laughter", "cut off", "no answer"),
    ),
    Window(
        4, _at(2, 0, 5), _at(2, 5, 55), 400, "operator", NIGHT_KINDS,
        ("no consent", "no consent", "no consent", "missing consent", "missing consent", "no guardian", "no guardian",
         "withdrawn", "laughter", "cut off", "cut off", "no answer"),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Child:
    """An invented user."""

    user_id: str
    age: int
    consented: datetime


@dataclass(frozen=True)
class Talk:
    """One conversation before it becomes a row."""

    messages: tuple[Message, ...]
    lookup: Lookup


class Scene:
    """Draws conversations that take place over one catalogue; no two in the same words."""

    def __init__(self, catalogue: Catalogue, seed: int) -> None:
        self.catalogue = catalogue
        self.rng = random.Random(seed)
        self.children = [self._child(number) for number in range(1, 41)]
        self.asked: set[tuple[str, ...]] = set()

    def _child(self, number: int) -> Child:
        consented = datetime(2026, 6, 1, 9, tzinfo=LOCAL_TIME) + timedelta(hours=self.rng.randrange(24 * 28))
        return Child(f"child-{number:03}", self.rng.randint(8, 17), consented)

    def rows(self, window: Window) -> list[dict[str, Any]]:
        """The window's rows in the order of their timestamps."""
        minutes = int((window.last - window.first).total_seconds() // 60)
        faults: list[str | None] = [None] * window.num_usable + list(window.unusable)
        self.rng.shuffle(faults)
        moments = sorted(window.first + timedelta(minutes=self.rng.randrange(minutes)) for _ in faults)
        return [self._row(window, now, fault) for now, fault in zip(moments, faults, strict=True)]

    def _row(self, window: Window, now: datetime, fault: str | None) -> dict[str, Any]:
        child = self.rng.choice(self.children)
        talk = next(talk for talk in self._talks(window, now) if self._is_wanted(talk))
        row = _row(window, now, child, talk)
        if self.rng.random() < 0.3:
            row["feedback"] = self.rng.choice((1.0, 1.0, 0.5))
        return _spoilt(row, fault, now)

    def _is_wanted(self, talk: Talk) -> bool:
        """New words, and mostly something found."""
        questions = tuple(message.content for message in talk.messages if message.role == "user")
        found = bool(talk.lookup.facts) or talk.lookup.kind == "smalltalk"
        if questions in self.asked or not (found or self.rng.random() < KEPT_MISSES):
            return False
        self.asked.add(questions)
        return True

    def _talks(self, window: Window, now: datetime) -> Iterator[Talk]:
        """Endless conversations that could take place at `now`."""
        while True:
            kind = self.rng.choices(list(window.kinds), weights=list(window.kinds.values()))[0]
            first_kind = self.rng.choice(("category", "menu", "budget", "best")) if kind == "followup" else kind
            talk = self._talk(now, self._question(first_kind, now))
            if kind == "followup" and talk and talk.lookup.facts:
                talk = self._talk(now, self.rng.choice(words.FOLLOW_UPS), talk.messages)
            if talk and talk.lookup.kind == kind:
                yield talk

    def _talk(self, now: datetime, question: str, history: tuple[Message, ...] = ()) -> Talk | None:
        """The question with its facts and answer; None when there is no answer to its kind."""
        lookup = find_facts(self.catalogue, question, history, now, DAILY_LIMIT)
        at_night = lookup.kind in NIGHT_KINDS
        answer = self._night_answer(lookup) if at_night else answer_to(lookup, question, self.rng)
        if answer is None:
            return None
        turns = (Message(role="user", content=question), Message(role="assistant", content=answer))
        return Talk((*history, *turns), lookup)

    def _night_answer(self, lookup: Lookup) -> str:
        """What an operator answers: the facts a child must know, and whom to ask."""
        if not lookup.facts:
            return self.rng.choice(words.NIGHT_MISSES[lookup.kind])
        fact = lookup.facts[0]
        return self.rng.choice(words.NIGHT_ANSWERS[_answer_group(lookup.kind, fact)]).format_map(fact)

    def _question(self, kind: str, now: datetime) -> str:
        """A question of that kind, mostly about shops of which there is something to say."""
        tables = words.NIGHT_QUESTIONS if kind in NIGHT_KINDS else words.QUESTIONS
        affordable = [menu for menu in self.catalogue.menus if menu.price is None or menu.price <= DAILY_LIMIT]
        menu = self.rng.choice(affordable)
        return self.rng.choice(tables[kind]).format(
            food=self.rng.choice(FOODS),
            place=self.rng.choice(PLACES),
            dish=menu.name,
            shop=self._shop(kind, now) or self.catalogue.shop(menu.shop_id).name,
            price=self.rng.choice(PRICES),
            hour=self.rng.choice((8, 9, 10)),
            allergen=self.rng.choice(SPOKEN_ALLERGENS),
        )

    def _shop(self, kind: str, now: datetime) -> str | None:
        """A shop with a coupon, or one that is known to deliver or not to; None for other kinds."""
        if kind == "coupon":
            valid = [coupon for coupon in self.catalogue.coupons if coupon.shop_ids and coupon.valid_on(now.date())]
            return self.catalogue.shop(self.rng.choice(self.rng.choice(valid).shop_ids)).name
        if kind == "delivery":
            return self.rng.choice([shop.name for shop in self.catalogue.shops if shop.delivers is not None])
        return None


def make_rows(catalogue: Catalogue, seed: int = SEED) -> dict[int, list[dict[str, Any]]]:
    """The rows of each window by its number."""
    scene = Scene(catalogue, seed)
    return {window.number: scene.rows(window) for window in WINDOWS}


def _answer_group(kind: str, fact: Fact) -> str:
    """Which of the operators' templates fits the fact: a key of `NIGHT_ANSWERS`."""
    if kind == "allergy" and "주의" in fact:
        return "allergy/주의"
    if kind == "allergy" and fact["알레르기"] == "없음":
        return "allergy/없음"
    if kind == "coupon" and "조건" in fact:
        return "coupon/조건"
    if kind == "delivery" and fact["배달"] == "불가":
        return "delivery/불가"
    if kind == "delivery" and "영업시간" not in fact:
        return "delivery/시간 모름"
    return kind


def _row(window: Window, now: datetime, child: Child, talk: Talk) -> dict[str, Any]:
    messages = [{"role": m.role, "content": m.content} for m in talk.messages]
    body = json.dumps([window.number, child.user_id, messages], ensure_ascii=False)
    return {
        "conversation_id": f"log-{window.number}-{hashlib.sha256(body.encode()).hexdigest()[:12]}",
        "persona_id": PERSONA,
        "dataset_source": window.source,
        "timestamp": now.isoformat(),
        "user_id": child.user_id,
        "user_age": child.age,
        "consent": {"training": True, "given_at": child.consented.isoformat(), "guardian": True},
        "messages": messages,
        "retrieved_items": [dict(fact) for fact in talk.lookup.facts],
        "kind": talk.lookup.kind,
    }


def _spoilt(row: dict[str, Any], fault: str | None, now: datetime) -> dict[str, Any]:
    """The row with one of the faults for which it must not be used."""
    messages = row["messages"]
    if fault == "no consent":
        row["consent"] |= {"training": False, "given_at": None}
    elif fault == "missing consent":
        del row["consent"]
    elif fault == "no guardian":
        row["consent"]["guardian"] = False
    elif fault == "withdrawn":
        row["consent"]["withdrawn_at"] = (now + timedelta(minutes=20)).isoformat()
    elif fault == "laughter":
        messages[-1]["content"] = "ㅋㅋㅋㅋㅋㅋ"
    elif fault == "cut off":
        messages[-1]["content"] = messages[-1]["content"][:3].strip()
    elif fault == "no answer":
        messages.pop()
    return row


def write_logs(rows: dict[int, list[dict[str, Any]]], folder: Path) -> None:
    """One JSON line a row, UTF-8, a file a window."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, window in rows.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in window)
        (folder / f"window-{number}.jsonl").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--workbook", type=Path, default=ROOT / "sample_data.xlsx")
    parser.add_argument("--out", type=Path, default=ROOT / "examples" / "logs")
    given = parser.parse_args()
    rows = make_rows(read_workbook(given.workbook).catalogue, given.seed)
    write_logs(rows, given.out)
    for number, window in rows.items():
        print(f"{given.out / f'window-{number}.jsonl'}: {len(window)} rows")


if __name__ == "__main__":
    main()
