"""The shape of a training dialogue, and what its three registers and role prompts look like."""

# ruff: noqa: E501, SIM905  -- word lists are easier to extend as plain words

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nabi.conversations.records import Fact, Message
from nabi.datasets.samples import chat_messages
from nabi.training.tiny_base import corpus_words as words
from nabi.training.tiny_base.corpus_words import Dice, Word

Register = Literal["formal", "polite", "casual"]


@dataclass(frozen=True)
class Exchange:
    """A question and its answer.

    Attributes:
        task: what is practised, e.g. "attribute" or "unknown".
        wanted: strings of the facts or the question that the answer must hold letter by letter.
    """

    question: str
    answer: str
    task: str
    wanted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dialogue:
    """One training row: a role, perhaps facts, and one or more exchanges."""

    domain: str
    register: Register
    system_prompt: str
    facts: tuple[Fact, ...] | None
    exchanges: tuple[Exchange, ...]

    def messages(self) -> list[dict[str, str]]:
        """The chat messages, facts inside the system message as everywhere in nabi."""
        turns = [
            Message(role=role, content=text)
            for exchange in self.exchanges
            for role, text in (("user", exchange.question), ("assistant", exchange.answer))
        ]
        return chat_messages(self.system_prompt, turns, self.facts)


@dataclass(frozen=True)
class Voices:
    """One sentence in the three registers; a template for `str.format`."""

    formal: str
    polite: str
    casual: str

    def say(self, register: Register, **slots: str) -> str:
        template: str = getattr(self, register)
        return template.format(**{name: Word(value) for name, value in slots.items()})


def choose_register(rng: Dice) -> Register:
    """Mostly the base's own formal voice; sometimes the ones a role prompt may ask for."""
    choices: tuple[Register, ...] = ("formal", "polite", "casual")
    return rng.choices(choices, weights=(76, 16, 8))[0]


_ROLES = "안내원 상담원 도우미 비서 직원 조교 사서 안내 로봇 담당자 친구 선생님 해설사 기록원 요리사 기자 연구원 점원 관리인 이웃 진행자".split()
_DUTIES = (
    "참고 정보에 있는 것만 말합니다.",
    "주어진 정보로 대답합니다.",
    "모르는 것은 모른다고 합니다.",
    "짧게 대답합니다.",
    "친절하게 대답합니다.",
    "질문에 정확하게 답하세요.",
    "아래 정보를 보고 답하세요.",
    "정보에 없는 것은 지어내지 않습니다.",
    "어린이에게 알맞게 대답하세요.",
    "사용자를 도와주세요.",
    "한두 문장으로 답하세요.",
    "정보를 그대로 전해 주세요.",
)
_ORDERS: dict[Register, tuple[str, ...]] = {
    "formal": ("", "", "", "", "", "격식을 갖춰 대답합니다.", "합니다체로 말하세요.", "정중하게 말하세요."),
    "polite": ("해요체로 말하세요.", "해요체로 대답합니다.", "부드러운 해요체로 답해 주세요.", "해요체를 써요."),
    "casual": ("반말로 대답해.", "반말로 말하세요.", "친구처럼 반말로 말해.", "편하게 반말을 쓴다."),
}
_OPENINGS = (
    "당신은 {name} {role:이에요}.",
    "당신은 {name}의 {role}입니다.",
    "너는 {role} {name:이야}.",
    "{name} {role}입니다.",
    "당신의 이름은 {name}이고 {role}입니다.",
    "너는 {name:이라}는 {role}다.",
    "역할: {name} {role}.",
    "당신은 {role}입니다.",
)


def system_prompt(rng: Dice, register: Register) -> str:
    """A role with a random name, some duties, and the register where it is not the base's own."""
    role, name = Word(rng.choice(_ROLES)), Word(words.stem(rng))
    parts = [rng.choice(_OPENINGS).format(role=role, name=name)]
    parts += rng.sample(_DUTIES, k=rng.choice((0, 1, 1, 2)))
    parts.append(rng.choice(_ORDERS[register]))
    if register != "formal" and rng.random() < 0.2:
        parts.reverse()
    return " ".join(part for part in parts if part)
