"""Makes dialogues from the catalogue, for the time when real conversations are still few.

Each dialogue plays one question: a moment of a made-up week, a child's words, the facts that `find_facts` gives at
that moment, and an answer that copies the first of them. Nobody is in these dialogues, so they may be trained on;
users, cards, orders and wallets cannot get in, because the catalogue does not hold them.

A share of them asks what a helper for children must not do, and is declined kindly: an adapter that never saw a refusal
forgets those of its base.

Allergens, coupons and delivery are left to people: what is answered there must come from conversations.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from nabi.catalogue import phrases, refusals
from nabi.catalogue.intents import follow_up_ask, normalise, smalltalk_topic, squeeze
from nabi.catalogue.keywords import CATEGORY_WORDS
from nabi.catalogue.lookup import LOCAL_TIME, Lookup, find_facts
from nabi.catalogue.model import Catalogue
from nabi.conversations.records import Consent, Conversation, Fact, Message
from nabi.errors import DataError

logger = logging.getLogger(__name__)

SOURCE = "bootstrap"
KINDS = ("category", "menu", "budget", "time", "trait", "best", "followup", "smalltalk", "unknown", "refusal")
MAX_ANSWER_CHARS = 120
FIRST_DAY = datetime(2026, 6, 22, tzinfo=LOCAL_TIME)
"""Monday of the made-up week in which the dialogues are asked: fixed, so that the same seed gives the same bytes."""

TYPO_SHARE = 0.08
KEPT_MISSES = 0.2
"""Share of the questions that happen to find nothing that is kept: honest answers, but few."""

# Shares of the plans that are no refusals, in percent. What finds nothing comes from "nothing" and from unlucky
# draws of the others.
_SHARES = {
    "category": 19,
    "menu": 19,
    "budget": 20,
    "time": 12,
    "trait": 7,
    "best": 5,
    "followup": 9,
    "nothing": 3,
    "smalltalk": 4,
    "unknown": 2,
}
MOST_FRUITLESS_DRAWS = 500
"""Draws in a row without a new dialogue after which a catalogue counts as exhausted."""

_PARTS = {"아침": (8, 10), "점심": (11, 13), "간식": (14, 16), "저녁": (17, 19), "야식": (20, 21)}
_SINO_THOUSANDS = "이삼사오육칠팔"


@dataclass(frozen=True, slots=True)
class _Plan:
    """A question before its facts are known; `answer` where it leans on none."""

    kind: str
    question: str
    now: datetime
    history: tuple[Message, ...] = ()
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class _Words:
    """What the slots of the questions are filled with, drawn from one catalogue."""

    categories: tuple[str, ...]
    foods: tuple[str, ...]
    dishes: tuple[str, ...]
    absent: tuple[str, ...]
    shops: tuple[str, ...]


def make_dialogues(
    catalogue: Catalogue, persona_id: str, num: int, seed: int, daily_limit: int, *, refused: float
) -> list[Conversation]:
    """`num` different dialogues; the same catalogue and seed give the same ones, and fewer are the first of more.

    Args:
        num: how many; a catalogue of 50 shops gives 2,000 and more.
        daily_limit: what the meal card pays a day, in won.
        refused: share of requests that are declined, about.

    Raises:
        DataError: the catalogue is empty, or too small for so many different dialogues.
    """
    if not catalogue.menus:
        raise DataError("the catalogue has no usable menu.", fix="Read the findings of `nabi catalogue report FILE`.")
    rng = random.Random(f"{seed}/{persona_id}")
    words = _words_of(catalogue)
    made: dict[str, Conversation] = {}
    fruitless = 0
    while len(made) < num:
        dialogue = _play(_plan(rng, words, catalogue, daily_limit, refused), catalogue, persona_id, daily_limit, rng)
        if dialogue is None or dialogue.conversation_id in made:
            fruitless += 1
            _check_patience(fruitless, len(made), num)
            continue
        fruitless = 0
        made[dialogue.conversation_id] = dialogue
    logger.info("made %d dialogues from the catalogue", len(made))
    return list(made.values())


def answer_to(lookup: Lookup, question: str, rng: random.Random) -> str | None:
    """나비얌's answer from the first fact; None when no template fits (coupons, allergens, delivery)."""
    if lookup.kind == "unknown":
        return rng.choice(phrases.OFF_TOPIC_ANSWERS)
    if lookup.kind == "smalltalk":
        return rng.choice(phrases.SMALLTALK_ANSWERS[smalltalk_topic(normalise(question)) or "greeting"])
    if not lookup.facts:
        return rng.choice(phrases.NOTHING_FOUND.get(lookup.kind, phrases.NOTHING_FOUND["other"]))
    group = (follow_up_ask(question) or "another") if lookup.kind == "followup" else lookup.kind
    fact = lookup.facts[0]
    fitting = [template.format_map(fact) for template in phrases.ANSWERS.get(group, ()) if _fits(template, fact)]
    short = [answer for answer in fitting if len(answer) <= MAX_ANSWER_CHARS]
    return rng.choice(short) if short else None


def _fits(template: str, fact: Fact) -> bool:
    """True when the fact has every label of the template, and 착한가게 is said exactly of good-influence shops."""
    labels = {name for _, name, _, _ in string.Formatter().parse(template) if name}
    return labels <= fact.keys() and ("착한가게" in template) == ("착한가게" in fact)


def _check_patience(fruitless: int, num_made: int, num: int) -> None:
    if fruitless >= MOST_FRUITLESS_DRAWS:
        raise DataError(
            f"the catalogue gives only about {num_made} different dialogues, {num} were asked for.",
            fix="Ask for fewer (bootstrap.target of the persona), or add shops and menus to the workbook.",
        )


def _play(
    plan: _Plan | None, catalogue: Catalogue, persona_id: str, daily_limit: int, rng: random.Random
) -> Conversation | None:
    """The dialogue of a plan, or None when its words turn out otherwise than planned."""
    if plan is None:
        return None
    lookup = find_facts(catalogue, plan.question, plan.history, plan.now, daily_limit)
    if not _as_planned(plan, lookup, rng):
        return None
    answer = plan.answer or answer_to(lookup, plan.question, rng)
    if answer is None:
        return None
    turns = (*plan.history, Message(role="user", content=plan.question), Message(role="assistant", content=answer))
    return Conversation(
        conversation_id=_id_of(persona_id, turns),
        persona_id=persona_id,
        source=SOURCE,
        occurred_at=plan.now,
        messages=turns,
        facts=lookup.facts,
        consent=Consent(training=True),
        kind=plan.kind if plan.answer else lookup.kind,
    )


def _as_planned(plan: _Plan, lookup: Lookup, rng: random.Random) -> bool:
    if plan.kind in ("nothing", "refusal"):
        return not lookup.facts
    if lookup.kind in ("smalltalk", "unknown") or lookup.facts:
        return plan.kind == lookup.kind
    return plan.kind == lookup.kind and rng.random() < KEPT_MISSES


def _id_of(persona_id: str, turns: Sequence[Message]) -> str:
    """Follows from what is said, so that two dialogues with the same words are one."""
    body = json.dumps([persona_id, [(m.role, m.content) for m in turns]], ensure_ascii=False)
    return f"{SOURCE}-{hashlib.sha256(body.encode()).hexdigest()[:16]}"


def _words_of(catalogue: Catalogue) -> _Words:
    """Spoken words for the catalogue's categories, dishes and shops, in a fixed order."""
    held = sorted({shop.category for shop in catalogue.shops})
    spoken = [word for word, stems in CATEGORY_WORDS.items() if any(stem in name for stem in stems for name in held)]
    plain = [name for name in held if name.isalnum() and name != "기타"]
    categories = tuple(dict.fromkeys(plain + spoken)) or tuple(held)
    names = [squeeze(menu.name) for menu in catalogue.menus]
    return _Words(
        categories=tuple(f"{word} 가게" if word.endswith(phrases.FOOD_ENDINGS) else word for word in categories),
        foods=tuple(word for word in categories if not word.endswith(phrases.PLACE_ENDINGS)) or categories,
        dishes=tuple(sorted({menu.name for menu in catalogue.menus})),
        absent=tuple(dish for dish in phrases.ABSENT_DISHES if not any(dish in name for name in names)),
        shops=tuple(sorted({shop.name for shop in catalogue.shops})),
    )


def _plan(rng: random.Random, words: _Words, catalogue: Catalogue, daily_limit: int, refused: float) -> _Plan | None:
    if rng.random() < refused:
        return _plan_refusal(rng)
    kind = rng.choices(list(_SHARES), weights=list(_SHARES.values()))[0]
    if kind == "followup":
        return _plan_follow_up(rng, words, catalogue, daily_limit)
    return _PLANNERS[kind](rng, words)


def _plan_follow_up(rng: random.Random, words: _Words, catalogue: Catalogue, daily_limit: int) -> _Plan | None:
    """A first question with its answer, then a question that leans on them."""
    first = _PLANNERS[rng.choice(("category", "menu", "budget", "time", "best"))](rng, words)
    lookup = find_facts(catalogue, first.question, (), first.now, daily_limit)
    answer = answer_to(lookup, first.question, rng) if lookup.facts else None
    if answer is None:
        return None
    history = (Message(role="user", content=first.question), Message(role="assistant", content=answer))
    return _Plan("followup", _decorated(rng, rng.choice(phrases.FOLLOW_UPS), opener=False), first.now, history)


def _plan_time(rng: random.Random, words: _Words) -> _Plan:
    template = rng.choice(phrases.TIME)
    part = rng.choice(list(_PARTS))
    now = _moment(rng, *_PARTS[part]) if "{part}" in template else _moment(rng, 8, 21)
    later = rng.randint(max(now.hour + 1, 19), 23)
    hour = f"밤 {later - 12}시" if later > 19 else f"저녁 {later - 12}시"
    return _Plan("time", _filled(rng, template, words, part=part, hour=hour), now)


def _plan_nothing(rng: random.Random, words: _Words) -> _Plan:
    """A question that the catalogue cannot answer: a dish that nobody sells, a few coins, the middle of the night."""
    reason = rng.choice(("absent", "coins", "night"))
    if reason == "absent" and words.absent:
        template = rng.choice(phrases.ABSENT)
        return _Plan("nothing", _decorated(rng, template.format(dish=rng.choice(words.absent))), _moment(rng, 9, 20))
    if reason == "coins":
        template = rng.choice(phrases.BUDGET)
        coins = rng.choice(("100원", "200원", "300원", "400원"))
        return _Plan("nothing", _filled(rng, template, words, price=coins), _moment(rng, 9, 20))
    pool = rng.choice((phrases.CATEGORY, phrases.DISH, phrases.TIME[:8]))
    return _Plan("nothing", _filled(rng, rng.choice(pool), words), _moment(rng, 2, 5))


def _plan_smalltalk(rng: random.Random, words: _Words) -> _Plan:
    topic = rng.choice(list(phrases.SMALLTALK))
    question = _decorated(rng, rng.choice(phrases.SMALLTALK[topic]), opener=False)
    return _Plan("smalltalk", question, _moment(rng, 8, 21))


def _plan_unknown(rng: random.Random, words: _Words) -> _Plan:
    return _Plan("unknown", _decorated(rng, rng.choice(phrases.OFF_TOPIC)), _moment(rng, 8, 21))


def _plan_refusal(rng: random.Random) -> _Plan:
    topic = rng.choice(list(refusals.REFUSED))
    question = _decorated(rng, rng.choice(refusals.REFUSED[topic]))
    return _Plan("refusal", question, _moment(rng, 8, 21), answer=rng.choice(refusals.REFUSALS[topic]))


def _planner(kind: str, templates: Sequence[str]) -> Callable[[random.Random, _Words], _Plan]:
    return lambda rng, words: _Plan(kind, _filled(rng, rng.choice(templates), words), _moment(rng, 9, 20))


_PLANNERS: dict[str, Callable[[random.Random, _Words], _Plan]] = {
    "category": _planner("category", phrases.CATEGORY),
    "menu": _planner("menu", phrases.DISH),
    "budget": _planner("budget", phrases.BUDGET * 2 + phrases.CARD_LIMIT),
    "time": _plan_time,
    "trait": _planner("trait", phrases.TRAIT),
    "best": _planner("best", phrases.BEST),
    "nothing": _plan_nothing,
    "smalltalk": _plan_smalltalk,
    "unknown": _plan_unknown,
}


def _moment(rng: random.Random, first_hour: int, last_hour: int) -> datetime:
    """A time of the made-up week, at full ten minutes."""
    return FIRST_DAY + timedelta(
        days=rng.randrange(7), hours=rng.randint(first_hour, last_hour), minutes=10 * rng.randrange(6)
    )


def _filled(
    rng: random.Random, template: str, words: _Words, *, price: str | None = None, part: str = "", hour: str = ""
) -> str:
    filled = template.format(
        category=rng.choice(words.categories),
        food=rng.choice(words.foods),
        dish=rng.choice(words.dishes),
        shop=rng.choice(words.shops),
        price=price or _spoken_price(rng),
        part=part,
        hour=hour,
    )
    return _decorated(rng, filled)


def _spoken_price(rng: random.Random) -> str:
    """2,000 to 8,500 won and 10,000 won, as children write it."""
    amount = rng.choice((*range(2_000, 9_000, 500), 10_000))
    if amount == 10_000:
        return rng.choice(("만원", "만 원", "10,000원", "1만원"))
    spellings = [f"{amount:,}원", f"{amount}원"]
    if amount % 1_000 == 0:
        thousands = amount // 1_000
        spellings += [f"{thousands}천원", f"{thousands}천 원", f"{_SINO_THOUSANDS[thousands - 2]}천원"]
    return rng.choice(spellings)


def _decorated(rng: random.Random, text: str, *, opener: bool = True) -> str:
    """The text as children type it: now and then a slip, something before it, an end sign where it has none."""
    for right, wrong in phrases.TYPOS.items():
        if right in text and rng.random() < TYPO_SHARE:
            text = text.replace(right, wrong)
    start = rng.choice(phrases.OPENERS) if opener else ""
    end = rng.choice(phrases.CLOSERS) if text[-1] not in "?!" else ""
    return f"{start}{text}{end}"
