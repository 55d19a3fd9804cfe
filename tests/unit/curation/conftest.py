"""Conversations to judge, and the shipped example's logs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nabi.conversations.records import Consent, Conversation, Message
from nabi.personas.load import load_persona
from nabi.personas.model import Persona

ROOT = Path(__file__).parents[3]
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)

Make = Callable[..., Conversation]


@pytest.fixture
def persona() -> Persona:
    return Persona(id="p", name="시험", system_prompt="짧게.")


@pytest.fixture(scope="session")
def nabiyam() -> Persona:
    return load_persona("nabiyam", ROOT / "personas")


@pytest.fixture(scope="session")
def make() -> Make:
    """Makes a consented conversation; the same number gives the same id."""

    def make_one(number: int, question: str, answer: str, **changes: Any) -> Conversation:
        return Conversation.model_validate(
            {
                "conversation_id": f"c-{number}",
                "persona_id": "p",
                "source": "chat",
                "occurred_at": NOON + timedelta(seconds=number),
                "messages": [Message(role="user", content=question), Message(role="assistant", content=answer)],
                "consent": Consent(training=True, given_at=NOON - timedelta(days=1)),
                "user_key": f"user-{number}",
                **changes,
            }
        )

    return make_one


DISHES = [
    "떡볶이",
    "김밥",
    "라면",
    "순대",
    "튀김",
    "만두",
    "볶음밥",
    "카레",
    "돈가스",
    "우동",
    "국수",
    "비빔밥",
    "토스트",
    "샌드위치",
    "샐러드",
    "덮밥",
]
SHOPS = [
    "해맑은분식",
    "달빛식당",
    "솔바람밥집",
    "반짝밥상",
    "다온편의점",
    "늘봄분식",
    "너나들이식당",
    "구름위각",
    "종달새버거",
    "뭉게반점",
]
TIMES = [
    "학교 끝나고",
    "학원 가기 전에",
    "주말 아침에",
    "비 오는 날",
    "저녁에 혼자",
    "동생이랑 같이",
    "운동하고 나서",
    "시험 끝난 날",
]
ASKS = ["{} 먹고 싶어요", "{} 파는 데 알려 주세요", "{} 어디가 좋아요?", "가까운 {} 집 있어?", "{} 싼 곳 찾아 줘"]
ANSWERS = [
    "{shop}에서 {dish} {price}원에 먹을 수 있어요!",
    "{dish} 찾았어요! {shop}인데 {price}원이에요.",
    "{shop} 어때요? {dish} 한 그릇에 {price}원이에요.",
    "{price}원이면 {shop} {dish} 먹을 수 있죠!",
    "오늘은 {shop}의 {dish} 어때요? 값은 {price}원이에요.",
]


@pytest.fixture(scope="session")
def chatter(make: Make) -> Callable[[int, int], list[Conversation]]:
    """Makes conversations of many users as they come, by number from the first to before the last."""

    def talk(first: int, last: int) -> list[Conversation]:
        return [_talk(make, number) for number in range(first, last)]

    return talk


def _talk(make: Make, number: int) -> Conversation:
    place = int.from_bytes(hashlib.sha256(f"{number}".encode()).digest()[:8], "big")
    picked = {"dish": _pick(DISHES, place), "shop": _pick(SHOPS, place // 7), "price": 3000 + place // 11 % 60 * 100}
    question = f"{_pick(TIMES, place // 13)} {_pick(ASKS, place // 17).format(picked['dish'])}"
    facts = [{"가게": picked["shop"], "메뉴": picked["dish"], "가격": f"{picked['price']}원"}]
    answer = _pick(ANSWERS, place // 19).format(**picked)
    return make(number, question, answer, facts=facts, user_key=f"child-{place // 23 % 400}")


def _pick(words: Sequence[str], place: int) -> str:
    return words[place % len(words)]


@pytest.fixture(scope="session")
def windows() -> dict[int, list[Conversation]]:
    """The four windows of the shipped example, as the reader takes them in."""
    return {number: _window(number) for number in (1, 2, 3, 4)}


def _window(number: int) -> list[Conversation]:
    lines = (ROOT / "examples" / "logs" / f"window-{number}.jsonl").read_text(encoding="utf-8").splitlines()
    return [_example(json.loads(line)) for line in lines]


def _example(row: dict[str, Any]) -> Conversation:
    consent = row.get("consent")
    return Conversation.model_validate(
        {
            "conversation_id": row["conversation_id"],
            "persona_id": row["persona_id"],
            "source": row["dataset_source"],
            "occurred_at": row["timestamp"],
            "messages": row["messages"],
            "facts": row["retrieved_items"],
            "user_key": hashlib.sha256(row["user_id"].encode()).hexdigest(),
            "consent": consent if isinstance(consent, dict) else {"training": bool(consent)},
            "kind": row.get("kind"),
            "feedback": row.get("feedback"),
        }
    )
