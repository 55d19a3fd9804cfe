"""All recognisers behind Presidio's analyser: its own Korean ones, and nabi's families.

Left out on purpose: Presidio's e-mail recogniser (it asks the network for a list of domains), its telephone recogniser
(it takes opening hours such as 1800-2100 for a number, and finds none that `phones` does not) and its NLP-based ones
(they need a model). Its context words cannot raise a score without a model, so every result counts from 0 on, and
weak patterns of Presidio are bound to words here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

from nabi.curation.pii.accounts import ACCOUNTS
from nabi.curation.pii.addresses import ADDRESSES
from nabi.curation.pii.birthdays import BIRTHDAYS
from nabi.curation.pii.cards import CARD_BACKS, CARDS
from nabi.curation.pii.documents import BUSINESSES, LICENCES, PASSPORTS
from nabi.curation.pii.emails import EMAILS
from nabi.curation.pii.family import Family, Span
from nabi.curation.pii.handles import IDS, PASSWORDS
from nabi.curation.pii.kinds import Kind
from nabi.curation.pii.names import NAMES
from nabi.curation.pii.phones import LETTERED_PHONES, PHONES, SPOKEN_PHONES
from nabi.curation.pii.plates import PLATE_TAILS, PLATES
from nabi.curation.pii.registration import FOREIGNERS, HALVES, RESIDENTS

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, EntityRecognizer

FAMILIES: Final[tuple[Family, ...]] = (
    RESIDENTS,
    FOREIGNERS,
    CARDS,
    PHONES,
    LICENCES,
    BUSINESSES,
    ACCOUNTS,
    PASSPORTS,
    HALVES,
    CARD_BACKS,
    PLATES,
    PLATE_TAILS,
    ADDRESSES,
    LETTERED_PHONES,
    SPOKEN_PHONES,
    EMAILS,
    BIRTHDAYS,
    PASSWORDS,
    IDS,
    *NAMES,
)

PRESIDIO_KINDS: Final[dict[str, Kind]] = {
    "KR_RRN": "주민등록번호",
    "KR_FRN": "외국인등록번호",
    "KR_PASSPORT": "여권번호",
    "KR_BRN": "사업자등록번호",
    "CREDIT_CARD": "카드번호",
}
"""Presidio's recognisers that are switched on; each needs seven digits with nothing but `numbers.GAP` between them, or
a passport's letter and digits. Its driver's licence recogniser takes any twelve digits for one: that
needs the word 면허, which `documents.LICENCES` asks for."""

_KINDS: Final[dict[str, Kind]] = PRESIDIO_KINDS | {family.kind: family.kind for family in FAMILIES}


@cache
def analyzer() -> AnalyzerEngine:
    """Made once a process; the import of Presidio takes seconds, for it brings spaCy."""
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NoOpNlpEngine

    logging.getLogger("presidio-analyzer").setLevel(logging.WARNING)
    recognisers = [*_presidio_recognisers(), *(_recogniser(family) for family in FAMILIES)]
    return AnalyzerEngine(
        registry=RecognizerRegistry(recognizers=recognisers, supported_languages=["ko"]),
        nlp_engine=NoOpNlpEngine([{"lang_code": "ko", "model_name": ""}]),
        supported_languages=["ko"],
    )


def analyse(text: str, kinds: Sequence[str] | None = None) -> list[Span]:
    """Everything that the recognisers see in a folded text; `kinds` limits them, by our names and Presidio's."""
    results = analyzer().analyze(text, language="ko", entities=list(kinds) if kinds is not None else None)
    return [Span(_KINDS[found.entity_type], found.start, found.end) for found in results]


def _presidio_recognisers() -> list[EntityRecognizer]:
    from presidio_analyzer.predefined_recognizers import (
        CreditCardRecognizer,
        KrBrnRecognizer,
        KrFrnRecognizer,
        KrPassportRecognizer,
        KrRrnRecognizer,
    )

    return [
        KrRrnRecognizer(),
        KrFrnRecognizer(),
        KrPassportRecognizer(),
        KrBrnRecognizer(),
        CreditCardRecognizer(supported_language="ko"),
    ]


def _recogniser(family: Family) -> EntityRecognizer:
    """The family as Presidio knows recognisers."""
    from presidio_analyzer import EntityRecognizer, RecognizerResult

    class FamilyRecognizer(EntityRecognizer):
        def load(self) -> None:
            """Nothing to load: the patterns are compiled with their module."""

        def analyze(self, text: str, entities: list[str], nlp_artifacts: object = None) -> list[RecognizerResult]:
            return [RecognizerResult(span.kind, span.start, span.end, 1.0) for span in family.find(text)]

    return FamilyRecognizer([family.kind], name=f"Nabi{family.kind}", supported_language="ko")
