"""How good a conversation is to learn from: a score in [0, 1] out of named parts (requirements A1, C4).

The score is the product of the parts. One hopeless part sinks it, and small defects add up, which a mean
would hide.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nabi.curation.meta_talk import meta_talk_in
from nabi.curation.spam import spam_in
from nabi.curation.texts import Figures, Texts
from nabi.curation.verdict import BlockFilter, Refused
from nabi.evaluation.answer_text import duplicate_share
from nabi.personas.model import Curation, Persona

Language = Literal["ko", "en"]

REASON = "quality"

_LAUGHTER = re.compile(r"([ㅋㅎㅠㅜㄷㄱ!?~.^♡♥])\1{2,}")


@dataclass(frozen=True, slots=True)
class Quality:
    """The score and what it is made of, each in [0, 1]."""

    score: float
    parts: dict[str, float]


def measure_quality(texts: Texts, persona: Persona) -> list[Quality]:
    """Scores complete conversations (see `nabi.curation.completeness`).

    Parts: `length` (letters of question and answer), `repetition` (duplicate character 4-grams), `language`
    (shares of the alphabets), `meta` (0 when the persona talks of itself as a machine or of its prompt), `spam` (0 for
    adverts and for links that nobody gave it), `feedback` (1 unless the user disliked the answer).
    """
    rules = persona.curation
    meta = meta_talk_in(texts, persona.system_prompt)
    spam = spam_in(texts, rules.links)
    figures = texts.figures
    repetition = _repetition_parts(texts, rules)
    language = _language_parts(figures, persona.language, rules).tolist()
    alnum = figures.alnum.tolist()
    weakest_repetition, weakest_language = [1.0] * len(texts.last), [1.0] * len(texts.last)
    for message, row in enumerate(texts.rows):
        is_answer = texts.roles[message] == "assistant"
        if is_answer and language[message] < weakest_language[row]:
            weakest_language[row] = language[message]
        # Of what users said only the question counts.
        if repetition[message] < weakest_repetition[row] and (is_answer or message == texts.last[row] - 1):
            weakest_repetition[row] = repetition[message]
    return [
        _scored(
            {
                "length": min(1.0, alnum[last] / rules.min_answer_letters) if alnum[last - 1] else 0.0,
                "repetition": weakest_repetition[row],
                "language": weakest_language[row],
                "meta": 0.0 if row in meta else 1.0,
                "spam": 0.0 if row in spam else 1.0,
                "feedback": 1.0 + min(0.0, texts.conversations[row].feedback or 0.0),
            }
        )
        for row, last in enumerate(texts.last)
    ]


def quality_filter(persona: Persona) -> BlockFilter:
    """Refuses conversations whose score is below the persona's `min_quality`; the detail names what lowered it."""
    minimum = persona.min_quality

    def check_quality(texts: Texts) -> dict[int, Refused]:
        scores = measure_quality(texts, persona)
        return {
            row: Refused(REASON, f"{quality.score:.2f} is below {minimum:g}: {_weak_parts(quality)}")
            for row, quality in enumerate(scores)
            if quality.score < minimum
        }

    return check_quality


def _scored(parts: dict[str, float]) -> Quality:
    return Quality(prod(parts.values()), parts)


def _weak_parts(quality: Quality) -> str:
    weak = sorted((value, name) for name, value in quality.parts.items() if value < 1)
    return ", ".join(f"{name} {value:.2f}" for value, name in weak)


def _repetition_parts(texts: Texts, rules: Curation) -> list[float]:
    """1 up to the normal share, then down a line that meets 0.7 at the bad share (gibberish starts at 0.69)."""
    shares = texts.figures.duplicates.tolist()
    parts = [1.0] * len(shares)
    for message, share in enumerate(shares):
        if share > rules.normal_repetition:
            # Laughter of users is a habit: it is looked at again when shortened.
            is_user = texts.roles[message] == "user"
            calm = duplicate_share(_LAUGHTER.sub(r"\1\1", texts.contents[message])) if is_user else share
            excess = max(0.0, calm - rules.normal_repetition)
            parts[message] = max(0.0, 1 - 0.3 * excess / (rules.bad_repetition - rules.normal_repetition))
    return parts


def _language_parts(figures: Figures, language: Language, rules: Curation) -> NDArray[np.float64]:
    """1 while enough letters are the language's own and few are of foreign alphabets; 0 for laughter alone."""
    letters = np.maximum(figures.letters, 1)
    own = figures.hangul if language == "ko" else figures.latin
    foreign = (figures.letters - figures.hangul - figures.latin) / letters
    parts = np.minimum(1.0, own / letters / rules.min_language_share)
    parts *= np.where(foreign > rules.max_foreign_share, 1 - foreign, 1.0)
    spoken: NDArray[np.float64] = np.where(figures.letters > figures.jamo, parts, 0.0)
    return spoken
