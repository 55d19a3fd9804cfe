"""A persona, prompts and a contender to judge, small enough to work out by hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from nabi.conversations.records import Fact, Message
from nabi.datasets.samples import Sample
from nabi.evaluation.prompts import EvalPrompt
from nabi.personas.model import Evaluation, Persona, Style

os.environ.setdefault("HF_HUB_OFFLINE", "1")

BUNSIK: Fact = {"가게": "해맑은분식", "메뉴": "떡볶이", "가격": "4,500원", "착한가게": "예"}


@dataclass(frozen=True)
class Said:
    """What the hand-made engine answers to a prompt."""

    text: str
    num_tokens: int = 8
    finished: bool = True
    seconds: float = 0.01


@dataclass(frozen=True)
class Likely:
    logprob: float
    num_tokens: int


@dataclass
class HandMadeEngine:
    """Answers each question as told, by adapter; finds every reference as likely as told. Keeps what it was shown."""

    answers: Mapping[str | None, Mapping[str, Said]]
    logprob_per_token: Mapping[str | None, float]
    shown: list[list[dict[str, str]]] = field(default_factory=list)

    def generate(self, prompts: Sequence[list[dict[str, str]]], adapter: str | None) -> Sequence[Said]:
        self.shown.extend(prompts)
        return [self.answers[adapter][prompt[-1]["content"]] for prompt in prompts]

    def answer_and_judge(
        self, prompts: Sequence[list[dict[str, str]]], answers: Sequence[str], adapter: str | None
    ) -> tuple[Sequence[Said], Sequence[Likely]]:
        likely = [Likely(self.logprob_per_token[adapter] * len(answer), len(answer)) for answer in answers]
        return self.generate(prompts, adapter), likely


@pytest.fixture
def engine_of() -> type[HandMadeEngine]:
    return HandMadeEngine


@pytest.fixture
def said() -> type[Said]:
    return Said


@pytest.fixture
def persona() -> Persona:
    """A kind helper for children that talks in 해요체."""
    return Persona(
        id="helper",
        name="도우미",
        system_prompt="너는 아이들의 밥집 도우미야. 참고 정보에 있는 것만 다정하게 알려 줘.",
        style=Style(endings=("[요죠]",), keywords=("어때요", "😊"), forbidden=("소주",)),
        evaluation=Evaluation(min_prompts=10, max_answer_chars=60),
    )


@pytest.fixture
def prompt_of() -> Callable[..., EvalPrompt]:
    def make(
        question: str,
        answer: str,
        facts: Sequence[Fact] = (BUNSIK,),
        *,
        group: str = "anchor",
        kind: str = "menu",
        earlier: Sequence[Message] = (),
    ) -> EvalPrompt:
        messages = (*earlier, Message(role="user", content=question), Message(role="assistant", content=answer))
        sample = Sample(
            sample_id=f"sample-{question}",
            conversation_id=f"conversation-{question}",
            persona_id="helper",
            source="chat",
            occurred_at=datetime(2026, 7, 1, tzinfo=UTC),
            kind=kind,
            facts=tuple(facts),
            messages=messages,
        )
        return EvalPrompt(sample=sample, group=group)

    return make
