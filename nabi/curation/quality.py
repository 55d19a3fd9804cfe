"""How good a conversation is to learn from: a score in [0, 1] out of named parts (requirements A1, C4).

The score is the product of the parts. One hopeless part sinks it, and small defects add up, which a mean
would hide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from nabi.conversations.records import Conversation
from nabi.curation.verdict import KEPT, Filter, Kept, Refused, answers_of

Language = Literal["ko", "en"]

REASON = "quality"

ENOUGH_LETTERS = 5
"""Letters and digits of a full answer: "네, 열려요" is short but says something, "좋아요" teaches nothing."""

NORMAL_REPETITION = 0.12
"""Share of duplicate 4-grams up to which normal Korean answers go (measured; gibberish starts at 0.69)."""

BAD_REPETITION = 0.4
"""The share that puts the score at the default threshold of 0.7."""

ENOUGH_OF_THE_LANGUAGE = 0.5
"""Share of letters in the persona's language that an answer needs; product names are often Latin."""

_NOT_WORDS = re.compile(r"[\W_]+")
_HANGUL = re.compile(r"[가-힣ㄱ-ㆎ\u1100-\u11ff]")
_LATIN = re.compile(r"[A-Za-z]")
_DIGITS = re.compile(r"\d")
_LAUGHTER = re.compile(r"([ㅋㅎㅠㅜ!?~.^♡♥])\1{2,}")

_SELF_AS_MACHINE = re.compile(
    r"(?:\b|(?<=[\s\"'(]))(?:저는|나는|전|난|제가|내가)\s*(?:그냥\s*|단지\s*|사실\s*|그저\s*)?"
    r"(?:AI|에이아이|인공\s*지능|(?:대규모\s*|거대\s*)?언어\s*모델|LLM|컴퓨터\s*프로그램)"
    r"|(?:AI|인공\s*지능|언어\s*모델)(?:로서|이기\s*때문|이라서|라서)"
    r"|\b(?:I am|I'm|as)\s+(?:just\s+)?an?\s+(?:AI|artificial intelligence|(?:large )?language model)\b",
    re.IGNORECASE,
)
_PROMPT_TALK = re.compile(
    r"시스템\s*(?:프롬프트|메시지|지시)|개발자\s*(?:프롬프트|지시)|system\s*prompt|<\|im_", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Quality:
    """The score and what it is made of, each in [0, 1]."""

    score: float
    parts: dict[str, float]


def measure_quality(conversation: Conversation, language: Language) -> Quality:
    """Scores a complete conversation (see `nabi.curation.completeness`).

    Parts: `length` (letters of question and answer), `repetition` (duplicate character 4-grams), `language`
    (share of letters in it), `meta` (0 when the persona talks of itself as a machine or of its prompt),
    `feedback` (1 unless the user disliked the answer).
    """
    answers = answers_of(conversation)
    question, answer = conversation.messages[-2].content, conversation.messages[-1].content
    parts = {
        "length": _length_part(question, answer),
        "repetition": min(_repetition_part(text) for text in (_calm(question), *answers)),
        "language": min(_language_part(text, language) for text in answers),
        "meta": 0.0 if _is_meta_talk(answers, question) else 1.0,
        "feedback": 1.0 + min(0.0, conversation.feedback or 0.0),
    }
    score = 1.0
    for part in parts.values():
        score *= part
    return Quality(score, parts)


def repetition_share(text: str) -> float:
    """Share of character 4-grams that stood before in the same text; 0 for texts shorter than that."""
    num_grams = len(text) - 3
    if num_grams < 1:
        return 0.0
    return 1 - len({text[start : start + 4] for start in range(num_grams)}) / num_grams


def quality_filter(language: Language, minimum: float) -> Filter:
    """Refuses conversations whose score is below `minimum`; the detail names the parts that lowered it."""

    def check_quality(conversation: Conversation) -> Kept | Refused:
        quality = measure_quality(conversation, language)
        if quality.score >= minimum:
            return KEPT
        weak = sorted((value, name) for name, value in quality.parts.items() if value < 1)
        named = ", ".join(f"{name} {value:.2f}" for value, name in weak)
        return Refused(REASON, f"{quality.score:.2f} is below {minimum:g}: {named}")

    return check_quality


def _length_part(question: str, answer: str) -> float:
    """0 without a letter in the question; else how many letters of a full answer there are."""
    if not _NOT_WORDS.sub("", question):
        return 0.0
    return min(1.0, len(_NOT_WORDS.sub("", answer)) / ENOUGH_LETTERS)


def _repetition_part(text: str) -> float:
    """1 up to the normal share, then down a line that meets 0.7 at the bad share."""
    excess = max(0.0, repetition_share(text) - NORMAL_REPETITION)
    return max(0.0, 1 - 0.3 * excess / (BAD_REPETITION - NORMAL_REPETITION))


def _language_part(text: str, language: Language) -> float:
    letters = len(_DIGITS.sub("", _NOT_WORDS.sub("", text)))
    if not letters:
        return 0.0
    own = len(_COUNTERS[language](text))
    return min(1.0, own / letters / ENOUGH_OF_THE_LANGUAGE)


_COUNTERS: dict[Language, Callable[[str], list[str]]] = {"ko": _HANGUL.findall, "en": _LATIN.findall}


def _is_meta_talk(answers: Sequence[str], question: str) -> bool:
    """The persona about itself as a machine, or either side about the prompt."""
    said = "\n".join(answers)
    return bool(_SELF_AS_MACHINE.search(said) or _PROMPT_TALK.search(said) or _PROMPT_TALK.search(question))


def _calm(text: str) -> str:
    """Laughter and exclamation of users shortened: "ㅋㅋㅋㅋㅋㅋ" is a habit, not spam."""
    return _LAUGHTER.sub(r"\1\1", text)
