"""Reads what a menu contains that may harm: names, the numbers of school menus, notes inside a description.

The list and its numbers are those of the Korean labelling rule for school meals (1 난류 … 19 잣).
"""

from __future__ import annotations

import re

from nabi.catalogue.cells import Reading, is_blank, problem
from nabi.catalogue.findings import Problem
from nabi.catalogue.raw import Cell
from nabi.catalogue.texts import plain

LISTED = (
    "난류", "우유", "메밀", "땅콩", "대두", "밀", "고등어", "게", "새우", "돼지고기",
    "복숭아", "토마토", "아황산류", "호두", "닭고기", "쇠고기", "오징어", "조개류", "잣",
)  # fmt: skip
_OTHER_NAMES = {
    "난류": ("계란", "달걀", "가금류", "알류"),
    "우유": ("유제품", "치즈"),
    "대두": ("콩", "두부"),
    "밀": ("밀가루",),
    "게": ("꽃게",),
    "돼지고기": ("돈육", "돼지"),
    "닭고기": ("닭", "계육"),
    "쇠고기": ("소고기", "한우"),
    "조개류": ("조개", "굴", "전복", "홍합"),
    "아황산류": ("아황산",),
}
_SAME = {other: name for name, others in _OTHER_NAMES.items() for other in others}
_NONE = frozenset({"없음", "해당없음", "무", "none", "x", "없어요"})
_UNKNOWN = frozenset({"문의", "미확인", "모름", "-", "?", "확인필요"})
_NOTE = re.compile(
    r"[(\[]?\s*(?:알레르기|알러지|알레르겐)\s*(?:유발)?\s*(?:성분|정보|물질|표시|유발)?\s*[:：]\s*(?P<list>[^)\].\n]+)[)\].]?"
    r"|[(\[]\s*(?P<holds>[가-힣,·/ ]{1,40}?)\s*(?:함유|포함)\s*[)\]]"
)
_CIRCLED = {chr(0x2460 + index): index + 1 for index in range(19)}


def parse_allergens(cell: Cell, description: Cell = None) -> Reading[tuple[str, ...]]:
    """Allergens in the order of the law's list. () when the shop says there are none, None when it does not say."""
    stated = _from_cell(cell)
    noted = _from_note(description)
    if stated.problems or noted is None:
        return stated
    if noted.problems:
        return noted
    return Reading(_ordered({*(stated.value or ()), *(noted.value or ())}))


def without_note(description: str) -> str:
    """A description without its note on allergens."""
    return _NOTE.sub(" ", description)


def _from_note(description: Cell) -> Reading[tuple[str, ...]] | None:
    if not isinstance(description, str):
        return None
    match = _NOTE.search(plain(description))
    if match is None:
        return None
    reading = _from_text(match["list"] or match["holds"])
    return Reading(None, tuple(Problem(item.rule, 1) for item in reading.problems)) if reading.problems else reading


def _from_cell(cell: Cell) -> Reading[tuple[str, ...]]:
    if is_blank(cell):
        return Reading()
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return Reading(None, problem("unreadable_allergens"))
    if isinstance(cell, float):
        # A spreadsheet makes the number 1.1 of "1.10" and of "1.1" alike.
        return Reading(None, problem("ambiguous_allergens"))
    return _from_numbers([cell]) if isinstance(cell, int) else _from_text(plain(cell))


def _from_text(text: str) -> Reading[tuple[str, ...]]:
    bare = re.sub(r"\([^)]*\)", "", text).strip()
    if bare in _NONE or bare.replace(" ", "") in _NONE:
        return Reading(())
    if bare in _UNKNOWN:
        return Reading()
    if re.fullmatch(r"[\d.,\s]+", bare):
        return _from_numbers([int(number) for number in re.findall(r"\d+", bare)])
    if bare and all(sign in _CIRCLED or sign in " ,." for sign in bare):
        return _from_numbers([_CIRCLED[sign] for sign in bare if sign in _CIRCLED])
    words = [word for word in re.split(r"[,·/、;&\s]+", bare) if word]
    # An unknown word is kept as it is written: to name one too many is safe, to drop one is not.
    if not words or not all(re.fullmatch(r"[가-힣]{1,10}", word) for word in words):
        return Reading(None, problem("unreadable_allergens"))
    return Reading(_ordered({_SAME.get(word, word) for word in words}))


def _from_numbers(numbers: list[int]) -> Reading[tuple[str, ...]]:
    if not numbers or not all(1 <= number <= len(LISTED) for number in numbers):
        return Reading(None, problem("unreadable_allergens"))
    return Reading(_ordered({LISTED[number - 1] for number in numbers}))


def _ordered(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: (LISTED.index(name) if name in LISTED else len(LISTED), name)))
