"""Addresses down to a door: road names, lots, and flats of an apartment house. A town or a district alone stays.

A road or a lot with a number counts when a town, district or flat is told with it, or when the sentence speaks of
living, sending or an address: "카드로 2개", "강남대로 5분" and "3호선" are no addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from nabi.curation.pii.family import Family, Span

_PROVINCE = (
    r"(?:서울|부산|대구|인천|광주|대전|울산|세종|경기|강원|충청?북|충청?남|전라?북|전라?남|경상?북|경상?남|제주)"
    r"(?:특별자치시|특별자치도|특별시|광역시|시|도)?"
)
_NO_TOWN = (
    "혹시|다시|역시|택시|몇시|즉시|잠시|표시|도시|입구|친구|야구|축구|농구|출구|가구|누구|도구|한시|두시|세시|네시"
)
_TOWN = rf"(?!(?:{_NO_TOWN}) )[가-힣]{{1,4}}(?:시|군|구)"
_VILLAGE = r"[가-힣]{1,5}(?:읍|면)"
_QUARTER = r"(?:[가-힣]{1,5}[0-9]{0,2}동|[가-힣]{1,4}[0-9]가)"
_HOUSE = (
    "아파트|APT|apt|빌라|오피스텔|맨션|연립|빌딩|타운|타워|하이츠|주공|자이|푸르지오|래미안|힐스테이트|"
    "아이파크|편한세상|더샵|캐슬|센트럴|"
    "위브|고시원|기숙사|원룸|주택|하우스|스위첸|데시앙|파크|뷰|단지|리버|코아|상가"
)
_COUNTED = (
    "원|시(?!청)|분|번(?! ?길|지)|개|명|일|월|년|초|%|퍼센트|km|m(?![a-z])|호선|살(?![아고았])|잔|줄|인분|마리|"
    "판|병|회|점|배(?!달)|대(?!로)|장|쪽|쌍|"
    "세트|천|만|kg|g(?![a-z])|ml|L|반|학년|위|정거장|박|도(?!로)|층|등|차|단계|곳|주(?![공택])|칸|kcal|번째|종|월호"
)
_UNIT = (
    rf"(?:(?:{_COUNTED})|가(?:역|[ 지])| (?:{_COUNTED})(?:[^가-힣]|$|"
    rf"[은는이가을를에의도만로짜씩쯤정동과와입예요인후전간거])|[,.:][0-9]|~)"
)
_NUM = r"(?>[0-9]{1,4}(?:-[0-9]{1,4})?)(?![0-9])"

_ROAD = (
    rf"(?:(?=[가-힣A-Za-z0-9.]{{1,12}}(?<!으)(?:로|길))[가-힣A-Za-z0-9.]{{0,11}}?[가-힣0-9](?<!으)(?:로|길)) "
    rf"?(?:[0-9]{{1,4}} ?(?:번|가|나|다|라)? ?길 ?)?(?:지하 ?)?{_NUM}(?!{_UNIT})"
)
_LOT = rf"(?:[가-힣]{{1,5}}?[0-9]{{0,2}}(?:동|리|읍|면)|[가-힣]{{1,4}}[0-9]가) ?(?:산 ?)?{_NUM}(?!{_UNIT})(?: ?번지)?"
_FLAT = r"(?:(?:[0-9]{1,4}|[A-Za-z]|[가-하])동 ?)?(?:지하 ?)?[0-9]{2,5}호(?!선|점|차|기)"
_HOME = (
    rf"[가-힣A-Za-z0-9]{{0,10}}(?:{_HOUSE})(?: ?[0-9]{{1,2}}(?:차|단지))* ?{_FLAT}|(?<![0-9])[0-9]{{3,4}}동 "
    rf"?[0-9]{{3,5}}호(?!선|점)"
)

_ADDRESS: Final = re.compile(
    rf"(?<![가-힣A-Za-z0-9])(?P<region>(?:\(?[0-9]{{5}}\)? ?)?(?:{_PROVINCE} ?(?:(?!으로|에서|까지|"
    rf"부터)[가-힣]{{2,3}} (?=[가-힣0-9]{{2,8}}(?:로|길|동) ?[0-9]))?)?(?:{_TOWN} "
    rf"?){{0,2}}(?:{_VILLAGE} "
    rf"?)?(?:{_QUARTER} )?)"
    rf"(?P<place>{_HOME}|{_ROAD}|{_LOT})"
)
_DETAIL: Final = re.compile(
    rf"[ ,]{{0,2}}\(? ?(?:(?P<house>[가-힣A-Za-z0-9]{{0,10}}(?:{_HOUSE})(?:[0-9]{{1,2}}차)?)(?=[ ,)0-9]|$)|"
    rf"[가-힣A-Za-z0-9]{{2,12}}(?= (?:(?:[0-9]{{1,4}}|[A-Za-z])동|(?:지하 ?)?[0-9]{{1,2}}층|[0-9]{{2,5}}호))|"
    rf"[0-9]{{1,2}}단지"
    r"|(?:[0-9]{1,4}|[A-Za-z]|[가-하])동(?![가-힣])|(?:지하|지상|옥탑|B|b)? ?[0-9]{1,3}층|"
    r"[A-Za-z]?[0-9]{2,5}호(?!선|점)"
    r"|[가-힣]{1,5}[0-9]{0,2}동(?=[,) ])|[0-9]{1,4}(?:-[0-9]{1,3})? ?번지|지하|[0-9]{1,4}-[0-9]{1,4}(?![0-9]))(?: ?\))?"
)
_CONTEXT: Final = re.compile(
    "주소|살아|살고|살았|삽니다|사는|사세요|거주|배송|배달|택배|우편|받는 ?곳|이사|본가|본적|도착지|집[은이으 "
    "]|댁|보내 ?[주줘]|와 ?주세요|와줘|앞에 놔"
)
_hint = re.compile("[로길동리가읍면호](?: ?(?:산 ?|지하 ?)?[0-9]|(?<=[0-9]호)(?!선|점|차|기))").search


def _find(text: str) -> Iterator[Span]:
    last = 0
    for match in _ADDRESS.finditer(text):
        if match.start() < last:
            continue
        end, has_door = _detail_end(text, match.end())
        place = match["place"]
        sure = (
            _is_region(match["region"])
            or place.endswith("호")
            or "번지" in place
            or has_door
            or "번길" in place.replace(" ", "")
        )
        if not sure:
            in_context = _CONTEXT.search(text, max(0, match.start() - _REACH), end + _REACH)
            sure = bool(in_context) and not place[-1].isalpha() and (place[0] != "가") and _is_named(place)
        if sure:
            last = end
            yield Span("주소", match.start(), end)


_REACH: Final = 25
"""Characters on either side in which a word about living or sending is looked for."""


def _is_region(region: str) -> bool:
    return len(region.strip()) > 1


_NAMED: Final = re.compile(r"[가-힣0-9]{2,}(?:로|길) ?[0-9]|[가-힣0-9]+길 ?[0-9]|[가-힣]{2,}동 ?[0-9]+-[0-9]")
_NOT_NAMED: Final = re.compile(
    r"(?:카드|위|그걸|이걸|저걸|그거|이거|세|가|바|따|서|앞|별|대|개월|기준|최대|번호|거|뭘|제|무료|현금|"
    r"포인트|쿠폰|배달|택배|메뉴)로 ?[0-9]"
)


def _is_named(place: str) -> bool:
    """A street's name and a number, not a noun with the particle 로."""
    return bool(_NAMED.match(place)) and not _NOT_NAMED.match(place)


def _detail_end(text: str, end: int) -> tuple[int, bool]:
    """Where house, flat and floor behind the address end, and whether there is more than a floor."""
    found = False
    while detail := _DETAIL.match(text, end):
        if detail.end() == end:
            break
        end, found = detail.end(), found or not detail.group().rstrip(") ").endswith(("층", "지하"))
    return end, found


ADDRESSES: Final = Family("주소", _hint, _find, needs_digit=True)
