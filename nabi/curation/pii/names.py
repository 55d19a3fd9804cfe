"""Names of persons: after the words that announce them, before 씨, 님 and titles, in self-introductions, and known
full names before a particle. A family name with a title (김 선생님), shop owners (사장님) and shops stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

from nabi.curation.pii.family import Family, Span
from nabi.curation.pii.name_words import (
    ALSO_WORDS,
    CORE_SURNAMES,
    DOUBLE_SURNAMES,
    FIRST,
    GIVEN,
    LAST,
    NOT_NAMES,
    SURNAMES,
    TITLES,
)

_START = r"(?<![가-힣A-Za-z0-9])"
_IS = (
    r"(?:이라고|라고|이에요|예요|이예요|에요|입니다|임다|임당|이야|야|이고|고요|이고요|인데|이요|요|"
    r"이랍니다|랍니다|이래|래|이며|이신|이시|인가|맞)"
)
_PARTICLE = (
    r"(?:이랑|랑|이가|이는|이를|이도|이한테|이네|가|이|은|는|을|를|에게|한테|하고|와|과|의|도|께서|"
    r"께|로|으로|만|부터|까지)"
)
_STOP = r"(?=[ ,.!?~)\]\"'”’:;/\n]|$)"
_DOUBLE = "|".join(DOUBLE_SURNAMES)
_PEOPLE = (
    "선생님|쌤|담임|친구|짝꿍|동생|형|누나|언니|오빠|엄마|아빠|아들|딸|아이|담당자|대표|팀장|반장|"
    "남편|아내|와이프|여친|남친"
)

_OWNER: Final = re.compile(
    "(?:제|내|저의|나의|본인|저희|우리|아이|아들|딸|동생|친구|엄마|아빠|보호자|신청자?|예약자?|주문자?|회원|"
    "고객|학생|담당자|선생님|형|누나|언니|오빠|할머니|할아버지|짝꿍)[은는이가]?의? ?$"
)
_ANNOUNCERS = (
    "이름|성함|성명|본명|예금주|입금자명|입금자|받는 사람|받는사람|받는 분|받는분|수령인|수취인|"
    "보호자|신청자|신청인|예약자|주문자|담당자|대표자|작성자|참석자|발표자|진행자|민원인"
)
_ANNOUNCED: Final = re.compile(
    rf"(?:{_ANNOUNCERS})(?: ?(?:성함|이름))?(?P<is>은요|은|는|이|가|을|를|도)?(?P<gap>[ :=]{{0,3}})['\"“‘]?"
    rf"(?P<name>(?:[A-Z][a-z]{{1,15}} ?){{1,3}}(?<! )|(?:{_DOUBLE})[가-힣]{{1,2}}?|[{SURNAMES}] [가-힣]{{2}}|"
    rf"[가-힣]{{2,4}}?)['\"”’]?(?={_IS}|(?:로|으로|님|씨|{_PARTICLE}){_STOP}|[ ,.!?~)\]\"'\n]|$)"
)
_CALLED: Final = re.compile(
    rf"{_START}(?:(?:저는|나는|난|전|저|나|제가|내가|[가-힣]+[은는]) ?)?['\"“‘]?(?P<name>[가-힣]{{2,5}}?|"
    rf"(?:[A-Z][a-z]{{1,15}} "
    rf"?){{1,3}}(?<! ))['\"”’]?(?:(?:이라고|라고) ?[합해하불부]|(?:이라는|라는) ?(?:이름|사람|학생))"
)
_MYSELF: Final = re.compile(
    rf"(?:저는|나는|난|전|저|나|제가|내가) (?:[가-힣0-9]{{1,8}} ){{0,2}}?(?P<name>[가-힣]{{2,4}}?)(?:(?P<is>{_IS})|"
    rf"{_STOP})"
)
_ENGLISH: Final = re.compile(r"[Mm]y name is (?P<name>(?:[A-Z][a-z]{1,15} ?){1,3}(?<! ))")
_THIRD: Final = re.compile(rf"(?:{_PEOPLE})[은는이가]? (?P<name>[가-힣]{{2,4}}?)(?:{_IS}|{_PARTICLE}|{_STOP})")
_FULL = (
    rf"(?:[{CORE_SURNAMES}][{FIRST}{''.join(sorted({name[0] for name in GIVEN}))}][{LAST}"
    rf"{''.join(sorted({name[-1] for name in GIVEN}))}]|(?:{_DOUBLE})[{FIRST}{LAST}](?:[{LAST}])?)"
)
_TITLED: Final = re.compile(
    rf"{_START}(?P<name>{_FULL}|(?:{_DOUBLE})[가-힣]{{1,2}}) ?(?P<title>씨(?![가-힣]{{2}}앗|앗)|님|{TITLES})"
)
_FULL_THEN: Final = re.compile(rf"{_START}(?P<name>{_FULL})(?:(?P<is>{_IS})|{_PARTICLE}{_STOP}|{_STOP})")
_GREETED: Final = re.compile(r"(?:^|안녕하세요[.,!~ ]*|반갑습니다[.,!~ ]*|여보세요[.,!~ ]*|[0-9] ?반 |[:(] ?)$")
_BARE_THEN: Final = re.compile(
    rf"{_START}(?P<name>[{''.join(sorted({name[0] for name in GIVEN}))}][가-힣])(?: ?씨{_STOP}| ?씨(?:가|는|를|"
    rf"한테|랑|도|의|께)|이(?:가|는|한테|랑|를|네|도){_STOP})"
)

_NO_PERSON: Final = re.compile(
    "(?:가게|메뉴|음식|식당|상호|제품|상품|노래|영화|책|강아지|고양이|파일|방|회사|학교|동네|건물|역|프로그램|"
    "행사|쿠폰|폴더|게임|앱|사이트|매장|분식집|카페|브랜드|품목|서비스|사업|"
    "과목|모임|단체|기관|부서|인형|캐릭터|약|병원|기계)의? ?$"
)
_QUESTION: Final = re.compile(
    "(?:뭐|뭔|뭘|무엇|비밀|없|몰라|모르|모를|어떻|어떤|바꾸|바꿔|다르|다른|같|기억|생각|헷갈|길|예뻐|예쁘|특이|"
    "신기|왜|있|정해|정하|지어|좀|안|못|잘|잊|까먹|물어|알려|적|쓰|써|"
    "확인|입력|변경|누구|어디|언제|먼저|그냥|여기|저기|이게|그게|다시|맞|아니|나오|나와|틀|따로|직접|모두|전부|"
    "필요|동의|서명|연락|전화|번호|주소|이메일|메일|정보|"
    "이름|성함|가능|대신|제출|본인|별로|때문|여러|아직|하나|둘|뒤에|앞에|보고|부르|불러|말하|공개)"
)


class _Words(NamedTuple):
    given: frozenset[str]
    alone: frozenset[str]
    syllables: frozenset[str]


@cache
def _words() -> _Words:
    return _Words(frozenset(GIVEN), frozenset(GIVEN) - ALSO_WORDS, frozenset("".join(GIVEN) + FIRST + LAST))


def is_full_name(word: str, *, known_only: bool = False) -> bool:
    """A family name and a given one. `known_only`: the given name is one of `GIVEN`, not just built like one."""
    if word in NOT_NAMES:
        return False
    if word[:2] in DOUBLE_SURNAMES and len(word) in (3, 4):
        return True
    if len(word) != 3 or word[0] not in SURNAMES:
        return False
    return word[1:] in _words().given or (not known_only and word[1] in FIRST and word[2] in LAST)


def _is_built_like_name(word: str) -> bool:
    """Three syllables, a family name and two that stand in given names: enough after 저는 and before 입니다."""
    syllables = _words().syllables
    return len(word) == 3 and word[0] in CORE_SURNAMES and word not in NOT_NAMES and syllables.issuperset(word[1:])


def _is_given(word: str) -> bool:
    return word in _words().alone or (word[-1:] == "이" and word[:-1] in _words().alone)


def _find_announced(text: str) -> Iterator[Span]:
    for match in _ANNOUNCED.finditer(text):
        name, word = match["name"], match.group()
        if _QUESTION.match(name) or not (match["is"] or match["gap"]) or _NO_PERSON.search(text, 0, match.start()):
            continue
        own = word.startswith(("이름", "성함", "성명", "본명")) and _OWNER.search(text, 0, match.start())
        if own or name[0].isascii() or is_full_name(name) or _is_given(name) or _looks_like_name(word, name):
            yield _span(match)


def _looks_like_name(word: str, name: str) -> bool:
    """After 성함 and 예금주 there stands a name: three syllables that begin with a family name will do."""
    return (
        not word.startswith(("이름", "담당자", "보호자", "신청자", "참석자", "진행자"))
        and len(name) == 3
        and name[0] in SURNAMES
    )


def _find_called(text: str) -> Iterator[Span]:
    for match in _CALLED.finditer(text):
        name = match["name"]
        own = text[match.start() : match.start("name")].strip(" '\"“‘") in _SELF
        if not _QUESTION.match(name) and (name[0].isascii() or is_full_name(name) or (own and _is_like_given(name))):
            yield _span(match)


def _find_myself(text: str) -> Iterator[Span]:
    for match in _MYSELF.finditer(text):
        if not _HANGUL.match(text, match.start() - 1 if match.start() else 0, match.start()):
            yield from _if_name(match)
            if match["is"] and _is_built_like_name(match["name"]):
                yield _span(match)


def _find_english(text: str) -> Iterator[Span]:
    for match in _ENGLISH.finditer(text):
        yield _span(match)


def _find_third(text: str) -> Iterator[Span]:
    for match in _THIRD.finditer(text):
        yield from _if_name(match)


def _if_name(match: re.Match[str]) -> Iterator[Span]:
    if is_full_name(match["name"]) or _is_given(match["name"]):
        yield _span(match)


_SELF: Final = frozenset(("저는", "나는", "난", "전", "저", "나", "제가", "내가"))
_HANGUL: Final = re.compile("[가-힣]")
_GIVEN_SYLLABLES: Final = frozenset(FIRST)


def _is_like_given(name: str) -> bool:
    """Two syllables of which names are made, or a word of the list: 저는 민준이라고 해요."""
    given = name.removesuffix("이") if len(name) == 3 else name
    return given in _words().given or (len(name) == 3 and name[0] in SURNAMES and name[1] in _GIVEN_SYLLABLES)


def _find_full(text: str) -> Iterator[Span]:
    for match in _TITLED.finditer(text):
        if is_full_name(match["name"]):
            yield _span(match)
    for match in _FULL_THEN.finditer(text):
        greeted = bool(match["is"] and _GREETED.search(text, 0, match.start()))
        if is_full_name(match["name"], known_only=not greeted):
            yield _span(match)


def _find_bare(text: str) -> Iterator[Span]:
    for match in _BARE_THEN.finditer(text):
        if match["name"] in _words().alone:
            yield _span(match)


def _span(match: re.Match[str]) -> Span:
    return Span("이름", match.start("name"), match.end("name"))


ANNOUNCED: Final = Family("이름", re.compile(_ANNOUNCERS).search, _find_announced)
CALLED: Final = Family("이름", re.compile("라고 ?[합해하불부]|라는 ?[이사학]").search, _find_called)
MYSELF: Final = Family("이름", re.compile("저는 |나는 |난 |전 |저 |나 |제가 |내가 ").search, _find_myself)
ENGLISH: Final = Family("이름", re.compile("My name|my name").search, _find_english)
THIRD: Final = Family("이름", re.compile(rf"(?:{_PEOPLE})[은는이가]? ").search, _find_third)
FULL: Final = Family("이름", re.compile(f"(?:{_FULL})|(?:{_DOUBLE})").search, _find_full)
BARE: Final = Family("이름", re.compile("씨|이(?:가|는|한테|랑|를|네|도)").search, _find_bare)

NAMES: Final = (ANNOUNCED, CALLED, MYSELF, ENGLISH, THIRD, FULL, BARE)
