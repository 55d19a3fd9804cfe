"""Answers marked bad, for tests that learn from them."""

from __future__ import annotations

from datetime import UTC, datetime

from nabi.conversations.records import Message
from nabi.datasets.bad_answers import BadAnswer


def bad_answers(num: int) -> list[BadAnswer]:
    """Every other one has a better answer."""
    return [
        BadAnswer(
            sample_id=f"bad-{number}",
            conversation_id=f"bad-c{number}",
            persona_id="nabiyam",
            source="chat",
            occurred_at=datetime(2026, 7, 1, tzinfo=UTC),
            facts=({"가게": "봄분식", "메뉴": "라면", "가격": f"{number},500원"},),
            messages=(
                Message(role="user", content="안녕?"),
                Message(role="assistant", content="안녕하세요! 😊"),
                Message(role="user", content=f"라면 {number}개 먹고 싶어"),
                Message(role="assistant", content=f"{number}개나 드시지 마세요!"),
            ),
            better=None if number % 2 else f"{number}번은 모르겠어요.",
        )
        for number in range(num)
    ]
