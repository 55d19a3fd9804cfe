"""How good a conversation is to learn from: a score in [0, 1] out of named parts (requirements A1, C4).

The score is the product of the parts. One hopeless part sinks it, and small defects add up, which a mean
would hide.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Literal

from nabi.conversations.records import Conversation
from nabi.curation.hinted import plain_text
from nabi.curation.meta_talk import asks_for_the_prompt, meta_talk_finder
from nabi.curation.spam import advert_in, strange_links
from nabi.curation.verdict import KEPT, Filter, Kept, Refused, answers_of
from nabi.evaluation.answer_text import duplicate_share
from nabi.personas.model import Curation, Persona

Language = Literal["ko", "en"]

REASON = "quality"

# `\w` without digits and low lines, and the parts of it that are Hangul or Latin.
_LETTERS = re.compile(r"[^\W\d_]+")
_HANGUL = re.compile(r"[가-힣ㄱ-ㆎ\u1100-\u11ff]+")
_LATIN = re.compile(r"[A-Za-zÀ-ɏ]+")
_DIGITS = re.compile(r"\d+")
_LAUGHTER = re.compile(r"([ㅋㅎㅠㅜㄷㄱ!?~.^♡♥])\1{2,}")
_ONLY_JAMO = re.compile(r"[ㄱ-ㅎㅏ-ㅣ\W\d_]+")


@dataclass(frozen=True, slots=True)
class Quality:
    """The score and what it is made of, each in [0, 1]."""

    score: float
    parts: dict[str, float]


Measure = Callable[[Conversation], Quality]


def quality_measure(persona: Persona) -> Measure:
    """Makes the measure of a persona's complete conversations (see `nabi.curation.completeness`).

    Parts: `length` (letters of question and answer), `repetition` (duplicate character 4-grams), `language`
    (shares of the alphabets), `meta` (0 when the persona talks of itself as a machine or of its prompt), `spam` (0 for
    adverts and for links that nobody gave it), `feedback` (1 unless the user disliked the answer).
    """
    rules, language = persona.curation, persona.language
    meta_talk_in = meta_talk_finder(persona.system_prompt)

    def measure(conversation: Conversation) -> Quality:
        answers = answers_of(conversation)
        question, answer = conversation.messages[-2].content, conversation.messages[-1].content
        is_meta = asks_for_the_prompt(question) or any(meta_talk_in(text, conversation) for text in answers)
        parts = {
            "length": _length_part(question, answer, rules),
            "repetition": min(_repetition_part(text, rules) for text in (_calm(question), *answers)),
            "language": min(_language_part(text, language, rules) for text in answers),
            "meta": 0.0 if is_meta else 1.0,
            "spam": 0.0 if _is_spam(conversation, answers, rules) else 1.0,
            "feedback": 1.0 + min(0.0, conversation.feedback or 0.0),
        }
        return Quality(prod(parts.values()), parts)

    return measure


def quality_filter(persona: Persona) -> Filter:
    """Refuses conversations whose score is below the persona's `min_quality`; the detail names what lowered it."""
    measure, minimum = quality_measure(persona), persona.min_quality

    def check_quality(conversation: Conversation) -> Kept | Refused:
        quality = measure(conversation)
        if quality.score >= minimum:
            return KEPT
        weak = sorted((value, name) for name, value in quality.parts.items() if value < 1)
        named = ", ".join(f"{name} {value:.2f}" for value, name in weak)
        return Refused(REASON, f"{quality.score:.2f} is below {minimum:g}: {named}")

    return check_quality


def _length_part(question: str, answer: str, rules: Curation) -> float:
    """0 without a letter or digit in the question; else how many of a full answer there are.

    The default of 5 is that of "네, 열려요", short but telling; "좋아요" teaches nothing.
    """
    if not any(map(str.isalnum, question)):
        return 0.0
    return min(1.0, sum(map(str.isalnum, answer)) / rules.min_answer_letters)


def _repetition_part(text: str, rules: Curation) -> float:
    """1 up to the normal share, then down a line that meets 0.7 at the bad share (gibberish starts at 0.69)."""
    excess = duplicate_share(text) - rules.normal_repetition
    if excess <= 0:
        return 1.0
    return max(0.0, 1 - 0.3 * excess / (rules.bad_repetition - rules.normal_repetition))


def _language_part(text: str, language: Language, rules: Curation) -> float:
    """1 while enough letters are the language's own and few are of foreign alphabets; 0 for laughter alone."""
    num_letters = _num_in(_LETTERS, text)
    if not num_letters or _ONLY_JAMO.fullmatch(text):
        return 0.0
    hangul = _num_in(_HANGUL, text)
    latin = 0 if hangul == num_letters and language == "ko" else _num_in(_LATIN, text)
    own = hangul if language == "ko" else latin
    part = min(1.0, own / num_letters / rules.min_language_share)
    foreign = (num_letters - hangul - latin) / num_letters
    return part if foreign <= rules.max_foreign_share else part * (1 - foreign)


def _num_in(runs: re.Pattern[str], text: str) -> int:
    return sum(map(len, runs.findall(text)))


def _is_spam(conversation: Conversation, answers: list[str], rules: Curation) -> bool:
    """An advert on either side, or a link in an answer that was not among the facts."""
    for message in conversation.messages:
        if message.role != "system" and advert_in(plain_text(message.content)):
            return True
    if rules.links == "any" or not any("." in answer for answer in answers):
        return False
    facts = [value for fact in conversation.facts for value in fact.values()]
    return any(strange_links(answer, facts) for answer in answers)


def _calm(text: str) -> str:
    """Laughter and exclamation of users shortened: "ㅋㅋㅋㅋㅋㅋ" is a habit, not spam."""
    return _LAUGHTER.sub(r"\1\1", text)
