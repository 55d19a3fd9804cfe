"""How good a conversation is to learn from: a score in [0, 1] out of named parts (requirements A1, C4).

The score is the product of the parts. One hopeless part sinks it, and small defects add up, which a mean
would hide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
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
    """The scores of conversations and what they are made of, by name; all in [0, 1], one for each conversation."""

    scores: NDArray[np.float64]
    parts: dict[str, NDArray[np.float64]]

    def weak_parts(self, row: int) -> str:
        """The parts that lowered a score, the weakest first."""
        weak = sorted((float(values[row]), name) for name, values in self.parts.items() if values[row] < 1)
        return ", ".join(f"{name} {value:.2f}" for value, name in weak)


def measure_quality(texts: Texts, persona: Persona) -> Quality:
    """Scores complete conversations (see `nabi.curation.completeness`).

    Parts: `length` (letters of question and answer), `repetition` (duplicate character 4-grams), `language`
    (shares of the alphabets), `meta` (0 when the persona talks of itself as a machine or of its prompt), `spam` (0 for
    adverts and for links that nobody gave it), `feedback` (1 unless the user disliked the answer).
    """
    rules, figures = persona.curation, texts.figures
    num_rows = len(texts.conversations)
    last = np.array(texts.last, dtype=np.int64)
    said = np.where(figures.alnum[last - 1] > 0, figures.alnum[last], 0)
    # Every answer is learned, so every one counts; of what users said only the question does.
    counts = texts.is_answer.copy()
    counts[last - 1] = True
    feedback = [conversation.feedback or 0.0 for conversation in texts.conversations]
    parts = {
        "length": np.minimum(1.0, said / rules.min_answer_letters),
        "repetition": _weakest(texts, np.where(counts, _repetition_parts(texts, rules), 1.0)),
        "language": _weakest(texts, np.where(texts.is_answer, _language_parts(figures, persona.language, rules), 1.0)),
        "meta": _zero_for(meta_talk_in(texts, persona.system_prompt), num_rows),
        "spam": _zero_for(spam_in(texts, rules.links), num_rows),
        "feedback": 1.0 + np.minimum(0.0, np.array(feedback, dtype=np.float64)),
    }
    return Quality(np.prod(list(parts.values()), axis=0), parts)


def quality_filter(persona: Persona) -> BlockFilter:
    """Refuses conversations whose score is below the persona's `min_quality`; the detail names what lowered it."""
    minimum = persona.min_quality

    def check_quality(texts: Texts) -> dict[int, Refused]:
        if not texts.conversations:
            return {}
        quality = measure_quality(texts, persona)
        poor = np.flatnonzero(quality.scores < minimum).tolist()
        return {
            row: Refused(REASON, f"{quality.scores[row]:.2f} is below {minimum:g}: {quality.weak_parts(row)}")
            for row in poor
        }

    return check_quality


def _weakest(texts: Texts, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The lowest value of each conversation's messages."""
    firsts = np.concatenate(([0], np.array(texts.last[:-1], dtype=np.int64) + 1))
    weakest: NDArray[np.float64] = np.minimum.reduceat(values, firsts)
    return weakest


def _zero_for(rows: Iterable[int], num_rows: int) -> NDArray[np.float64]:
    part = np.ones(num_rows)
    part[list(rows)] = 0.0
    return part


def _repetition_parts(texts: Texts, rules: Curation) -> NDArray[np.float64]:
    """1 up to the normal share, then down a line that meets 0.7 at the bad share (gibberish starts at 0.69)."""
    shares = texts.figures.duplicates.copy()
    for message in np.flatnonzero(shares > rules.normal_repetition).tolist():
        if not texts.is_answer[message]:
            # Laughter of users is a habit: what remains is looked at.
            shares[message] = duplicate_share(_LAUGHTER.sub(r"\1\1", texts.contents[message]))
    excess = np.maximum(0.0, shares - rules.normal_repetition)
    parts: NDArray[np.float64] = np.maximum(0.0, 1 - 0.3 * excess / (rules.bad_repetition - rules.normal_repetition))
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
