"""What an answer claims, what of it stands in what the model was given, and what of the facts it passes on.

Only what can be looked up counts as a claim: figures (prices, clock times, percentages), names of the catalogue, and
yes-or-no traits such as "착한가게". Ordinary words are no claims, so other wording costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from nabi.conversations.records import Fact
from nabi.datasets.samples import render_facts
from nabi.evaluation.answer_text import normalised
from nabi.evaluation.names import (
    MAX_NAME_CHARACTERS,
    NO_WORDS,
    YES_WORDS,
    Mention,
    find_mentions,
    garbled_names,
    names_in,
    squeeze,
)
from nabi.evaluation.quantities import Quantity, find_quantities

_ADMISSION = re.compile(
    r"못\s?찾|찾지\s?못|찾을\s?수\s?없|모르|몰라|모릅니다|알\s?수\s?없|알지\s?못|없어|없네|없습니다|없었|없는|"
    r"(?:could|can)(?:n't| not|not) find|don't know|do not know|not sure|no results?|nothing found",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"아니|아닌|아닙|않|없|못|모르|몰라|불가|안\s?(?:되|돼|됩|해|하|받)|물어|확인|\bnot?\b|n't", re.IGNORECASE
)
_REACH = 14
"""Characters after a trait in which a negation belongs to it: Korean negates at the end of a short clause."""


@dataclass(frozen=True)
class Given:
    """What the model could know.

    Attributes:
        facts: the retrieved context.
        turns: all that was said before, with the persona's prompt.
        asked: the user's share of the turns.
    """

    facts: tuple[Fact, ...]
    turns: str
    asked: str

    @cached_property
    def text(self) -> str:
        return f"{self.turns}\n{render_facts(self.facts)}"

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(names_in(self.facts))

    @cached_property
    def quantities(self) -> list[Quantity]:
        return find_quantities(self.text)

    @cached_property
    def fact_quantities(self) -> list[Quantity]:
        return [quantity for fact in self.facts for value in fact.values() for quantity in find_quantities(value)]


@dataclass(frozen=True)
class Vocabulary:
    """Names and yes-or-no traits of a whole evaluation set: what an answer could claim without being given it."""

    names: frozenset[str] = frozenset()
    traits: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Claim:
    """One thing that an answer says and that can be looked up. Equal claims count once."""

    kind: str
    what: str
    supported: bool = field(compare=False)


def admits_not_knowing(text: str) -> bool:
    """True for "못 찾았어요", "모르겠습니다", "I don't know" and their like."""
    return _ADMISSION.search(text) is not None


def build_vocabulary(cases: Iterable[tuple[str, Given]]) -> Vocabulary:
    """The vocabulary of (reference answer, given) pairs.

    References are right by definition: a name or trait that a reference says without having been given it is an
    ordinary word of this persona ("우유"), and is left out.
    """
    pairs = list(cases)
    full = Vocabulary(
        frozenset(name for _, given in pairs for name in given.names),
        frozenset(label for _, given in pairs for label in _traits(given.facts)),
    )
    ordinary = {
        claim.what for reference, given in pairs for claim in claims_of(reference, given, full) if not claim.supported
    }
    return Vocabulary(full.names - ordinary, full.traits - ordinary)


def claims_of(text: str, given: Given, vocabulary: Vocabulary) -> set[Claim]:
    """All claims of an answer, each with whether it stands in what was given."""
    text = normalised(text)
    mentions = find_mentions(text, given.names | vocabulary.names)
    invented = garbled_names(text, mentions, given.names, given.text)
    return {
        *_figure_claims(text, mentions, given),
        *_name_claims(mentions, given),
        *(Claim("name", name, supported=False) for name in invented),
        *_trait_claims(text, mentions, given, vocabulary),
    }


def _figure_claims(text: str, mentions: Sequence[Mention], given: Given) -> Iterable[Claim]:
    said_before = find_quantities(given.turns)
    for quantity in find_quantities(text):
        if not quantity.is_claim:
            continue
        stands = quantity.is_among(given.quantities)
        swapped = stands and not quantity.is_among(said_before) and _belongs_elsewhere(quantity, mentions, given.facts)
        yield Claim(quantity.kind, f"{min(quantity.values):g}", supported=stands and not swapped)


def _belongs_elsewhere(quantity: Quantity, mentions: Sequence[Mention], facts: Sequence[Fact]) -> bool:
    """True when the name before the figure has another one under the same label: 김밥 said with 떡볶이's price."""
    before = [mention for mention in mentions if mention.end <= quantity.start]
    if not before:
        return False
    own = [fact for fact in facts if before[-1].name in names_in([fact])]
    labels = {label for fact in facts for label, value in fact.items() if quantity.is_among(find_quantities(value))}
    own_values = [find_quantities(fact[label]) for fact in own for label in labels if label in fact]
    return any(own_values) and not any(quantity.is_among(values) for values in own_values)


def _name_claims(mentions: Sequence[Mention], given: Given) -> Iterable[Claim]:
    said_before = {mention.name for mention in find_mentions(given.text, {mention.name for mention in mentions})}
    for mention in mentions:
        yield Claim("name", mention.name, supported=mention.name in given.names or mention.name in said_before)


def _trait_claims(text: str, mentions: Sequence[Mention], given: Given, vocabulary: Vocabulary) -> Iterable[Claim]:
    said = {mention.name for mention in mentions}
    about = [fact for fact in given.facts if said & names_in([fact])] or given.facts
    for label in _traits(given.facts) | vocabulary.traits:
        polarity = _polarity(text, label)
        if polarity is None:
            continue
        values = {squeeze(fact[label]) for fact in about if label in fact}
        if values - YES_WORDS - NO_WORDS:
            continue  # here the label holds a list or a description, as in "알레르기: 우유, 밀"
        supported = bool(values & YES_WORDS) if polarity else not values or bool(values & NO_WORDS)
        yield Claim("trait", label, supported=supported)


def _traits(facts: Iterable[Fact]) -> set[str]:
    return {label for fact in facts for label, value in fact.items() if squeeze(value) in YES_WORDS | NO_WORDS}


def _polarity(text: str, label: str) -> bool | None:
    """True when a text says the trait, False when it denies it or leaves it open, None when it doesn't speak of it."""
    found = re.search(r"\s*".join(map(re.escape, squeeze(label))), text, re.IGNORECASE)
    if found is None:
        return None
    clause = re.split(r"[.!?\n]", text[found.end() :], maxsplit=1)[0]
    return _NEGATION.search(clause[:_REACH]) is None


def passed_on(answer: str, reference: str, given: Given) -> tuple[int, int]:
    """How many things the reference takes from the facts, and how many of those the answer has too.

    What the user already said (the dish that was asked for) is not taken from the facts; a trait is, since a question
    about it doesn't answer it. Where there are no facts and the reference says so, saying so is the one thing to pass
    on.
    """
    if not given.facts:
        expected = admits_not_knowing(reference)
        return int(expected), int(expected and admits_not_knowing(answer))
    taken = _fact_items(reference, given) - _fact_items(given.asked, given)
    taken |= _fact_traits(reference, given)
    has = _fact_items(answer, given) | _fact_traits(answer, given)
    return len(taken), len(taken & has)


def _fact_items(text: str, given: Given) -> set[str]:
    """Figures, names and whole descriptions of the facts that a text says."""
    text = normalised(text)
    said = find_quantities(text)
    figures = (q for q in given.fact_quantities if q.is_claim and q.is_among(said))
    squeezed = squeeze(text)
    descriptions = {squeeze(normalised(value)) for fact in given.facts for value in fact.values()}
    return {
        *(f"{quantity.kind} {min(quantity.values):g}" for quantity in figures),
        *(mention.name for mention in find_mentions(text, given.names)),
        *(value for value in descriptions if len(value) > MAX_NAME_CHARACTERS and value in squeezed),
    }


def _fact_traits(text: str, given: Given) -> set[str]:
    """Yes-or-no traits of the facts that a text affirms or denies."""
    polarities = {label: _polarity(normalised(text), label) for label in _traits(given.facts)}
    return {f"{label}: {polarity}" for label, polarity in polarities.items() if polarity is not None}
