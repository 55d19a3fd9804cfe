"""Advertisements, scams and links that have no business in a conversation with a persona."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nabi.curation.hinted import hinted, plain_text

ADVERTS = hinted(
    r"""(?:카톡|카카오톡|텔레그램|텔레|라인|오픈\s*채팅|위챗)\s*(?:아이디|추가|문의|상담|친추|링크|으로\s*연락|방\s*(?:입장|참여))
      | (?:대출|작업\s*대출|급전|일수)\s*(?:상담|문의|가능|당일|승인)|(?:신용\s*)?불량자도\s*가능
      | 바카라|카지노|토토\s*(?:사이트|추천|총판)?|슬롯\s*사이트|먹튀|무료\s*머니|첫\s*충전|꽁\s*머니
      | 리딩\s*방|수익\s*보장|원금\s*보장|고수익|코인\s*(?:추천|리딩|대박)|주식\s*(?:추천방|무료\s*추천)
      | 재택\s*(?:알바|부업)|하루\s*\d+\s*만\s*원\s*(?:벌|수익)|초보\s*가능\s*부업
      | 구독.{0,8}좋아요|맞팔|선팔|광고\s*(?:문의|협찬\s*문의)|(?:지금|아래)\s*(?:바로\s*)?(?:클릭|링크)|클릭\s*하(?:세요|시면)
      | 당첨(?:되셨|을\s*축하)|선착순.{0,12}(?:지급|증정|무료)|비아그라|성인\s*(?:사이트|용품)|출장\s*(?:마사지|안마)""",
    *("카톡", "카카오", "텔레", "라인", "오픈", "위챗", "대출", "급전", "일수", "불량자", "바카라", "카지노", "토토"),
    *("슬롯", "먹튀", "머니", "충전", "리딩", "보장", "고수익", "코인", "주식", "재택", "만원", "만 원", "부업", "구독"),
    *("맞팔", "선팔", "광고", "클릭", "링크", "당첨", "선착순", "비아그라", "성인", "출장"),
    # "하루 30만  원" with odd spaces
    "하루",
)

_LINK = re.compile(
    r"(?:https?://|www\.)[^\s)>\]]+|(?<![\w@.])(?:[a-z0-9-]+\.)+(?:com|net|org|kr|io|me|ly|gg|xyz|top|site|shop|info|biz)\b[^\s)>\]]*"
)


def advert_in(plain: str) -> str | None:
    """The advertisement in a text made by `plain_text`, or None."""
    return ADVERTS.find(plain)


def strange_links(text: str, given: Sequence[str]) -> list[str]:
    """Links in a text that stand in none of the given ones (the facts that the persona was shown)."""
    if "." not in text:
        return []
    known = " ".join(map(plain_text, given))
    links = (found.rstrip(".,!?") for found in _LINK.findall(plain_text(text)))
    return [link for link in links if link not in known]
