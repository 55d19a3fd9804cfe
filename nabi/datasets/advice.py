"""How well balanced a dataset is, and what to do about it: one concrete sentence each (requirements B8, E2)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import Field

from nabi.conversations.records import Frozen
from nabi.datasets.samples import Sample
from nabi.evaluation.answer_text import damaged_characters, letters_by_script
from nabi.personas.model import Persona

Difficulty = Literal["easy", "medium", "hard"]

LEAST, RECOMMENDED, IDEAL = 20, 50, 200
"""Samples of real conversations: to begin at all, to sound right, and to be rich (meeting speakers' guide, B8)."""

WANTED_DIFFICULTY: Mapping[Difficulty, float] = {"easy": 0.3, "medium": 0.5, "hard": 0.2}
"""Shares wanted of an agent's samples (E2), and how far off is worth a word."""
DIFFICULTY_SLACK = 0.15

LENGTH_EDGES = (20, 50, 100, 300, 1_000)
"""Characters of answers; the figures count what lies below the first edge, between two, and from the last one on."""

MOST_OF_ONE_TOPIC = 0.6
LEAST_EVEN = 0.5
MOST_NOISE = 0.1
LEAST_WELL_FORMED = 0.8
NO_TOPIC = "(none)"

_LABELS: Mapping[str, Difficulty] = {
    "easy": "easy",
    "쉬움": "easy",
    "medium": "medium",
    "normal": "medium",
    "보통": "medium",
    "hard": "hard",
    "어려움": "hard",
}
# What a transcriber writes for what was not understood, and what speech recognition leaves of a stammer.
_UNCLEAR = re.compile(
    r"[\[(](?:불명|불분명|안\s*들림|잡음|웃음|박수|침묵|inaudible|unclear|noise|laughter)[^\])]*[\])]|X{3,}|�"
)
_STAMMER = re.compile(r"(?<!\w)(\w{1,4})[\s,.…]+\1(?!\w)")
_FILLER = re.compile(r"(?<!\w)(?:어+|음+|으음|에+|그+|저기|뭐랄까|그니까|이제)(?=[\s,.…]|$)")
_MOST_FILLERS = 0.2


class Advice(Frozen):
    """One finding. `level`: good, hint (would help) or warning (the result will suffer)."""

    subject: str
    level: Literal["good", "hint", "warning"]
    sentence: str


class Balance(Frozen):
    """What a dataset consists of, counted over its train and holdout samples."""

    samples: int
    logged: int = Field(description="of real conversations; the rest are catalogue dialogues")
    topics: dict[str, int]
    evenness: float | None = Field(description="entropy of the topics over its maximum: 1 is even; None for one topic")
    difficulty: dict[Difficulty, int]
    labelled: int = Field(description="samples whose difficulty was given; that of the others is estimated")
    answer_lengths: tuple[int, ...] = Field(description="how many answers lie between the LENGTH_EDGES")
    in_range: float = Field(description="share of answers within the persona's bounds")
    in_language: float = Field(description="share of answers mostly in the persona's alphabet")
    well_ended: float | None = Field(description="share of answers that end as the style wants; None without a style")
    damaged: int = Field(description="answers with broken characters or template marks")
    noisy: int = Field(description="logged samples with marks of poor transcription")
    tools: dict[str, int] = Field(description="samples that use each tool")


def describe_balance(samples: Sequence[Sample], tags: Mapping[str, Sequence[str]], persona: Persona) -> Balance:
    """Counts over train and holdout samples.

    Args:
        tags: style tags by conversation id; `difficulty=easy` and `tool=calculator` are understood.
    """
    logged = [sample for sample in samples if sample.source != "bootstrap"]
    topics = Counter(sample.kind or NO_TOPIC for sample in samples)
    labels = [_labelled_difficulty(tags.get(sample.conversation_id, ())) for sample in samples]
    levels = Counter(label or estimate_difficulty(sample) for sample, label in zip(samples, labels, strict=True))
    tools = Counter(tool for sample in samples for tool in _tagged(tags.get(sample.conversation_id, ()), "tool"))
    bounds = range(persona.evaluation.min_answer_chars, persona.evaluation.max_answer_chars + 1)
    endings = [re.compile(pattern) for pattern in persona.style.endings]
    return Balance(
        samples=len(samples),
        logged=len(logged),
        topics=dict(sorted(topics.items())),
        evenness=_evenness(topics),
        difficulty={level: levels[level] for level in WANTED_DIFFICULTY},
        labelled=sum(label is not None for label in labels),
        answer_lengths=_binned(len(sample.answer) for sample in samples),
        in_range=_share(len(sample.answer) in bounds for sample in samples),
        in_language=_share(_in_language(sample.answer, persona) for sample in samples),
        well_ended=_share(_ends_well(sample.answer, endings) for sample in samples) if endings else None,
        damaged=sum(bool(damaged_characters(sample.answer)) for sample in samples),
        noisy=sum(is_noisy(sample.answer) for sample in logged),
        tools=dict(sorted(tools.items())),
    )


def advise(balance: Balance, persona: Persona) -> tuple[Advice, ...]:
    """What is good about a dataset and what would make it better, in the order in which it matters."""
    found = [_on_amount(balance), _on_topics(balance), *_on_answers(balance, persona), _on_noise(balance)]
    if persona.source == "agents":
        found += [_on_difficulty(balance), *_on_tools(balance, persona)]
    return tuple(advice for advice in found if advice is not None)


def estimate_difficulty(sample: Sample) -> Difficulty:
    """A rough guess where nobody said: long questions, several items, several turns and long answers make it hard."""
    signs = (len(sample.question) > 80, len(sample.facts) >= 3, len(sample.messages) > 3, len(sample.answer) > 400)
    levels: tuple[Difficulty, ...] = ("easy", "medium", "hard")
    return levels[min(2, sum(signs))]


def is_noisy(text: str) -> bool:
    """Marks of poor transcription: what was not understood, stammers, more than a fifth of the words fillers."""
    words = text.split()
    fillers = len(_FILLER.findall(text))
    return bool(_UNCLEAR.search(text) or _STAMMER.search(text)) or fillers > max(1, _MOST_FILLERS * len(words))


def _on_amount(balance: Balance) -> Advice:
    num, subject = balance.logged, "amount"
    if num < LEAST:
        sentence = f"{num} real conversations; collect {LEAST - num} more before expecting a voice of its own."
        return Advice(subject=subject, level="warning", sentence=sentence)
    if num < RECOMMENDED:
        sentence = f"{num} real conversations are enough to begin; {RECOMMENDED}–100 are recommended."
        return Advice(subject=subject, level="hint", sentence=sentence)
    if num < IDEAL:
        sentence = f"{num} real conversations are a good amount; from {IDEAL} on it is ideal ({IDEAL - num} more)."
        return Advice(subject=subject, level="good", sentence=sentence)
    return Advice(subject=subject, level="good", sentence=f"{num:,} real conversations are an ideal amount.")


def _on_topics(balance: Balance) -> Advice | None:
    if not balance.samples:
        return None
    topic, num = max(balance.topics.items(), key=lambda item: item[1])
    share, subject = num / balance.samples, "topics"
    if set(balance.topics) == {NO_TOPIC}:
        sentence = "No sample names its topic; fill in `kind`, so that one-sided data can be seen."
        return Advice(subject=subject, level="hint", sentence=sentence)
    if share > MOST_OF_ONE_TOPIC:
        sentence = f"{share:.0%} of the samples are about {topic}; add conversations about other topics."
        return Advice(subject=subject, level="warning", sentence=sentence)
    if balance.evenness is not None and balance.evenness < LEAST_EVEN:
        rarest = ", ".join(sorted(balance.topics, key=lambda name: balance.topics[name])[:3])
        return Advice(subject=subject, level="hint", sentence=f"The topics are uneven; add some about {rarest}.")
    return Advice(subject=subject, level="good", sentence=f"{len(balance.topics)} topics in a fair mix.")


def _on_answers(balance: Balance, persona: Persona) -> list[Advice | None]:
    rules = persona.evaluation
    bounds = f"{rules.min_answer_chars:,}–{rules.max_answer_chars:,} characters"
    found: list[Advice | None] = [
        _on_share(balance.in_range, "length", f"of the answers have {bounds}", "shorten or fill out the others"),
        _on_share(balance.in_language, "language", "of the answers are in the persona's language", "remove the others"),
    ]
    if balance.well_ended is not None:
        found.append(_on_share(balance.well_ended, "style", "of the answers end in its style", "rewrite the others"))
    if balance.damaged:
        sentence = f"{balance.damaged} answers hold broken characters or template marks; mend or remove them."
        found.append(Advice(subject="format", level="warning", sentence=sentence))
    return found


def _on_share(share: float, subject: str, what: str, remedy: str) -> Advice:
    if share >= LEAST_WELL_FORMED:
        return Advice(subject=subject, level="good", sentence=f"{share:.0%} {what}.")
    return Advice(subject=subject, level="warning", sentence=f"Only {share:.0%} {what}; {remedy}.")


def _on_noise(balance: Balance) -> Advice | None:
    if not balance.logged or balance.noisy <= MOST_NOISE * balance.logged:
        return None
    sentence = (
        f"{balance.noisy} of {balance.logged} answers show poor transcription (unclear marks, stammers, fillers);"
        " use a microphone close to the speaker, or correct the transcript."
    )
    return Advice(subject="noise", level="warning", sentence=sentence)


def _on_difficulty(balance: Balance) -> Advice | None:
    if not balance.samples:
        return None
    shares = {level: num / balance.samples for level, num in balance.difficulty.items()}
    seen = ", ".join(f"{level} {share:.0%}" for level, share in shares.items())
    wanted = ", ".join(f"{level} {share:.0%}" for level, share in WANTED_DIFFICULTY.items())
    off = {level: WANTED_DIFFICULTY[level] - share for level, share in shares.items()}
    short = max(off, key=lambda level: off[level])
    how = "" if balance.labelled == balance.samples else f" ({balance.samples - balance.labelled} of them estimated)"
    if off[short] <= DIFFICULTY_SLACK:
        return Advice(subject="difficulty", level="good", sentence=f"{seen}{how}; wanted {wanted}.")
    num = math.ceil(off[short] * balance.samples)
    sentence = f"{seen}{how}; wanted {wanted}: add about {num} {short} ones."
    return Advice(subject="difficulty", level="hint", sentence=sentence)


def _on_tools(balance: Balance, persona: Persona) -> list[Advice | None]:
    expected, used = set(persona.curation.tools), set(balance.tools)
    found: list[Advice | None] = []
    if missing := sorted(expected - used):
        sentence = f"No sample uses {', '.join(missing)}; add some that do, tagged as `tool={missing[0]}`."
        found.append(Advice(subject="tools", level="hint", sentence=sentence))
    if strange := sorted(used - expected):
        sentence = f"Samples use {', '.join(strange)}, which the persona is not expected to; declare or remove them."
        found.append(Advice(subject="tools", level="warning", sentence=sentence))
    if expected and not missing:
        counts = ", ".join(f"{tool} in {balance.tools[tool]}" for tool in sorted(expected))
        found.append(Advice(subject="tools", level="good", sentence=f"All expected tools are used: {counts}."))
    return found


def _tagged(tags: Iterable[str], name: str) -> list[str]:
    return [tag.removeprefix(f"{name}=") for tag in tags if tag.startswith(f"{name}=")]


def _labelled_difficulty(tags: Sequence[str]) -> Difficulty | None:
    return next((_LABELS[label] for tag in _tagged(tags, "difficulty") if (label := tag.lower()) in _LABELS), None)


def _evenness(topics: Mapping[str, int]) -> float | None:
    if len(topics) < 2:
        return None
    total = sum(topics.values())
    entropy = -sum(num / total * math.log(num / total) for num in topics.values())
    return round(entropy / math.log(len(topics)), 4)


def _binned(lengths: Iterable[int]) -> tuple[int, ...]:
    counts = Counter(sum(length >= edge for edge in LENGTH_EDGES) for length in lengths)
    return tuple(counts[place] for place in range(len(LENGTH_EDGES) + 1))


def _share(checks: Iterable[bool]) -> float:
    passed = list(checks)
    return round(sum(passed) / len(passed), 4) if passed else 0.0


def _in_language(answer: str, persona: Persona) -> bool:
    letters = letters_by_script(answer)
    own = letters["hangul" if persona.language == "ko" else "latin"]
    return own >= persona.curation.min_language_share * max(1, sum(letters.values()))


def _ends_well(answer: str, endings: Sequence[re.Pattern[str]]) -> bool:
    return any(pattern.search(answer.strip()) for pattern in endings)
