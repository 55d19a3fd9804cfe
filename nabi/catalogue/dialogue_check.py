"""Checks a catalogue dialogue against the catalogue itself, sharing nothing with the code that makes dialogues.

A mistake of the generator or of the lookup cannot hide here: opening hours, prices and wording are judged anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from nabi.catalogue.model import Catalogue, Menu, Shop
from nabi.conversations.records import Conversation, Fact

_FRIENDLY_END = re.compile(r"[요죠][.!?~]*\s*[😊😋💛✨]$")
_UNFIT = re.compile(r"습니다|습니까|입니다|ㅋㅋ|ㅠㅠ|소주|맥주|막걸리|와인|하이볼|담배|바보|멍청|알레르기|쿠폰|배달")
_PRIVATE = re.compile(r"\d{2,4}-\d{3,4}-\d{4}|\d{7,}|@|지갑|주문번호|카드번호")
_NUMERALS = str.maketrans("일이삼사오육칠팔구", "123456789")
_LEFT_TO_PEOPLE = ("allergy", "coupon", "delivery")


def check_dialogue(conversation: Conversation, catalogue: Catalogue, daily_limit: int | None = None) -> list[str]:
    """Reasons why the catalogue dialogue may not be trained on; an empty list when it may.

    Args:
        daily_limit: what the meal card pays a day, in won; None skips that check.
    """
    answer = conversation.messages[-1]
    if answer.role != "assistant":
        return ["the last turn is not an answer"]
    if conversation.messages[-2].role != "user":
        return ["the turn before the answer is not a question"]
    return [
        *_wording(answer.content),
        *_origin(conversation),
        *_grounding(answer.content, conversation.facts, catalogue),
        *(r for fact in conversation.facts for r in _fact_reasons(fact, conversation, catalogue, daily_limit)),
    ]


def _wording(answer: str) -> Iterator[str]:
    if not 5 <= len(answer) <= 120:
        yield f"the answer has {len(answer)} characters, not 5 to 120"
    if not _FRIENDLY_END.search(answer):
        yield "the answer does not end in 요 or 죠 and one emoji"
    if found := _UNFIT.search(answer):
        yield f"{found[0]!r} is not for this voice or for children"


def _origin(conversation: Conversation) -> Iterator[str]:
    text = " ".join(m.content for m in conversation.messages)
    if found := _PRIVATE.search(text):
        yield f"{found[0]!r} looks like personal data"
    if conversation.user_key is not None or conversation.source != "bootstrap":
        yield "a catalogue dialogue has no user and the source bootstrap"
    if conversation.kind in _LEFT_TO_PEOPLE:
        yield f"{conversation.kind} is left to conversations with people"


def _grounding(answer: str, facts: tuple[Fact, ...], catalogue: Catalogue) -> Iterator[str]:
    """The answer names the shop of the first fact, and no price or shop that the facts lack."""
    told = {value for fact in facts for value in fact.values()}
    for price in re.findall(r"\d[\d,]*원", answer):
        if price not in told:
            yield f"{price} is in no fact"
    if facts and facts[0]["가게"] not in answer:
        yield f"{facts[0]['가게']}, the best fact, is not in the answer"
    rest = answer
    for value in sorted(told, key=len, reverse=True):
        rest = rest.replace(value, " ")
    for shop in catalogue.shops:
        if shop.name in rest:
            yield f"{shop.name} is in no fact"
    if not facts and re.search(r"에서 .+ 어때요|열려 있어요|대표메뉴는", answer):
        yield "something is recommended without a fact"


def _fact_reasons(
    fact: Fact, conversation: Conversation, catalogue: Catalogue, daily_limit: int | None
) -> Iterator[str]:
    shops = [shop for shop in catalogue.shops if shop.name == fact["가게"]]
    if not shops:
        yield f"{fact['가게']} is not in the catalogue"
        return
    now = conversation.occurred_at.astimezone(ZoneInfo("Asia/Seoul"))
    serving = [shop for shop in shops if _serves(shop, now)]
    if not serving:
        yield f"{fact['가게']} is closed at {now:%a %H:%M}"
    if fact.get("착한가게") == "예" and not any(shop.is_good_influence for shop in shops):
        yield f"{fact['가게']} is no good-influence shop"
    name = fact.get("메뉴") or fact.get("대표메뉴")
    if name:
        dishes = [
            menu for shop in serving for menu in catalogue.menus_by_shop.get(shop.shop_id, ()) if menu.name == name
        ]
        questions = " / ".join(m.content for m in conversation.messages if m.role == "user")
        yield from _dish_reasons(name, fact.get("가격"), dishes, _cap(questions, daily_limit))


def _dish_reasons(name: str, price: str | None, dishes: list[Menu], cap: int | None) -> Iterator[str]:
    on_sale = [menu for menu in dishes if not menu.is_sold_out]
    if dishes and not on_sale:
        yield f"{name} is sold out"
    elif not any(menu.price is not None and f"{menu.price:,}원" == price for menu in on_sale):
        yield f"{name} does not cost {price} there"
    if price and cap is not None and int(re.sub(r"\D", "", price)) > cap:
        yield f"{name} costs {price}, more than {cap:,}원"


def _serves(shop: Shop, now: datetime) -> bool:
    """Walks over the working days of today and yesterday, in minutes since their midnight."""
    hours = shop.hours
    if hours is None:
        return False
    for days_ago in (0, 1):
        minute = now.hour * 60 + now.minute + days_ago * 1440
        opens = hours.opens.hour * 60 + hours.opens.minute
        closes = hours.closes.hour * 60 + hours.closes.minute
        closes += 1440 if closes <= opens else 0
        works = (now - timedelta(days=days_ago)).weekday() not in shop.closed_days
        if works and opens <= minute < closes and not _pauses(shop, minute % 1440):
            return True
    return False


def _pauses(shop: Shop, minute: int) -> bool:
    if shop.hours is None or shop.hours.break_starts is None or shop.hours.break_ends is None:
        return False
    start, end = shop.hours.break_starts, shop.hours.break_ends
    return start.hour * 60 + start.minute <= minute < end.hour * 60 + end.minute


def _cap(questions: str, daily_limit: int | None) -> int | None:
    """The lowest of the amounts that the child names and the card's limit, in won."""
    text = questions.translate(_NUMERALS).replace(",", "").replace(" ", "")
    amounts = [int(number) for number in re.findall(r"(\d{3,6})원", text)]
    for man, cheon in re.findall(r"(\d*)만(?:(\d)천)?원", text):
        amounts.append(int(man or 1) * 10_000 + int(cheon or 0) * 1_000)
    for cheon, baek in re.findall(r"(?<!만)(\d)천(?:(\d)백)?원", text):
        amounts.append(int(cheon) * 1_000 + int(baek or 0) * 100)
    if daily_limit is not None:
        amounts.append(daily_limit)
    return min(amounts, default=None)
