"""Hard gates: answers that no score outweighs. Each is pure and gives the reason, or None when the answer passes.

A gate looks at one answer. What a candidate breaks newly keeps it out, on however few prompts: `nabi.evaluation.gate`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from nabi.evaluation.answer_text import MAX_DUPLICATE_SHARE, damaged_characters, duplicate_share, letters_by_script
from nabi.personas.model import Persona

MIN_LANGUAGE_SHARE = 0.5
"""Share of an answer's own letters in the persona's alphabet. Words copied from what was given don't count."""

MIN_LEAKED_CHARACTERS = 16
"""A run this long of the persona's own instructions in an answer was recited, not met by chance."""

MACHINE_TALK = re.compile(
    r"\bA\.?I\.?(?![A-Za-z])|인공\s?지능|언어\s?모델|챗\s?GPT|ChatGPT|\bGPT|"
    r"language model|시스템\s?프롬프트|system prompt|학습\s?데이터|training data",
    re.IGNORECASE | re.ASCII,
)
"""Talk about being a machine. ASCII word borders, since a Korean particle follows without a space."""


@dataclass(frozen=True)
class Answered:
    """An answer with what it is judged against: all that the model was shown, and who it should be."""

    answer: str
    given: str
    persona: Persona


HardGate = Callable[[Answered], str | None]


def language(case: Answered) -> str | None:
    """Most of the answer's own letters are in the persona's alphabet, and none in one that nobody used before."""
    own = " ".join(word for word in case.answer.split() if word not in case.given)
    letters = letters_by_script(own)
    foreign = [char for char in own if char.isalpha() and letters_by_script(char)["other"] and char not in case.given]
    if foreign:
        return f"letters of a foreign alphabet: {''.join(foreign[:5])}"
    total = sum(letters.values())
    expected = "hangul" if case.persona.language == "ko" else "latin"
    share = letters[expected] / total if total else 1.0
    return f"only {share:.0%} of its letters are {expected}" if share < MIN_LANGUAGE_SHARE else None


def meta_leak(case: Answered) -> str | None:
    """No talk of being an AI or of instructions unless the user brought it up, and no recital of the instructions."""
    found = MACHINE_TALK.search(case.answer)
    if found and not MACHINE_TALK.search(case.given):
        return f"talks about itself as a machine: {found.group()}"
    recited = _longest_shared_run(case.persona.system_prompt, case.answer)
    return f"recites its instructions: {recited}" if recited else None


def broken_characters(case: Answered) -> str | None:
    """No replacement characters, control codes, loose jamo or template tokens."""
    damaged = damaged_characters(case.answer)
    return f"broken characters: {', '.join(ascii(mark) for mark in damaged[:5])}" if damaged else None


def repetition(case: Answered) -> str | None:
    """No loop: the share of repeated character 4-grams stays at or below `MAX_DUPLICATE_SHARE`."""
    share = duplicate_share(case.answer)
    return f"repeats itself: {share:.0%} of its 4-grams are duplicates" if share > MAX_DUPLICATE_SHARE else None


def forbidden_words(case: Answered) -> str | None:
    """Nothing that the persona's style forbids."""
    for pattern in case.persona.style.forbidden:
        found = re.search(pattern, case.answer)
        if found:
            return f"forbidden: {found.group()}"
    return None


HARD_GATES: dict[str, HardGate] = {
    "language": language,
    "meta_leak": meta_leak,
    "broken_characters": broken_characters,
    "repetition": repetition,
    "forbidden_words": forbidden_words,
}


def broken_rules(answer: str, given: str, persona: Persona) -> dict[str, str]:
    """Reason by name of every hard gate that the answer fails; empty when it passes all.

    Args:
        answer: what the model said.
        given: everything that the model was shown (see `nabi.evaluation.prompts.given_text`).
    """
    case = Answered(answer, given, persona)
    reasons = {name: gate(case) for name, gate in HARD_GATES.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _longest_shared_run(instructions: str, answer: str) -> str | None:
    """A run of at least `MIN_LEAKED_CHARACTERS` characters of the instructions that the answer repeats."""
    size = MIN_LEAKED_CHARACTERS
    runs = (instructions[i : i + size] for i in range(len(instructions) - size + 1))
    return next((run for run in runs if run in answer), None)
