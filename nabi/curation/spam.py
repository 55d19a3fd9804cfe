"""Advertisements, scams and links that have no business in a conversation with a persona."""

from __future__ import annotations

from typing import Literal

from nabi.conversations.records import Conversation
from nabi.curation.hinted import hinted, plain_text
from nabi.curation.texts import Texts

# Nothing that a public office, a library or a shop might say in earnest: "책 대출 가능", "아래 링크", "선착순 지급".
ADVERTS = hinted(
    r"""(?:카톡|카카오톡|텔레그램|텔레|라인|위챗)\s*(?:아이디|추가|친추|으로\s*연락|방\s*(?:입장|참여))|오픈\s*채팅\s*(?:방|링크|참여)
      | (?:작업|당일|무직자|신용|급전)\s*대출|대출\s*(?:나라|승인)|(?:신용\s*)?불량자도\s*가능
      | 바카라|카지노|토토\s*(?:사이트|추천|총판)|슬롯\s*사이트|먹튀|무료\s*머니|첫\s*충전|꽁\s*머니
      | 리딩\s*방|수익\s*보장|원금\s*보장|고수익|코인\s*(?:추천|리딩|대박)|주식\s*(?:추천방|무료\s*추천)
      | 재택\s*(?:알바|부업)|하루\s*\d+\s*만\s*원\s*(?:벌|수익)|초보\s*가능\s*부업
      | 구독.{0,8}좋아요|맞팔|선팔|광고\s*문의|(?:지금|여기)\s*(?:바로\s*)?클릭|당첨(?:되셨|을\s*축하)
      | 비아그라|성인\s*(?:사이트|용품)|출장\s*(?:마사지|안마)""",
    *("카톡", "카카오", "텔레", "라인", "위챗", "오픈", "대출", "불량자", "바카라", "카지노", "토토", "슬롯", "먹튀"),
    *("머니", "충전", "리딩", "보장", "고수익", "코인", "주식", "재택", "부업", "하루", "구독", "맞팔", "선팔", "광고"),
    *("클릭", "당첨", "비아그라", "성인", "출장"),
)

LINK = hinted(
    r"""(?:https?://|www\.)[^\s)>\]]+
      | (?<![\w@.])(?:[a-z0-9-]{1,63}\.){1,5}(?:com|net|org|kr|io|me|ly|gg|xyz|top|site|shop|info|biz)\b[^\s)>\]]*""",
    *("http", "www.", ".com", ".net", ".org", ".kr", ".io", ".me", ".ly", ".gg", ".xyz", ".top", ".site", ".shop"),
    *(".info", ".biz"),
)


def spam_in(texts: Texts, links: Literal["facts", "any"]) -> dict[int, str]:
    """What is spam in each conversation that has some: an advert on either side, or a link in an answer.

    Args:
        links: "facts" lets an answer hold the links that stand in its conversation's facts, "any" lets it hold all.
    """
    found = {texts.rows[message]: advert for message, advert in texts.find(ADVERTS).items()}
    if links == "any":
        return found
    plain, _joined = texts.plain
    for message in texts.find(LINK):
        row = texts.rows[message]
        if texts.roles[message] == "assistant" and (link := _strange_link(plain[message], texts.conversations[row])):
            found.setdefault(row, link)
    return found


def _strange_link(plain: str, conversation: Conversation) -> str | None:
    """A link that stands in none of the facts that the persona was shown."""
    known = " ".join(plain_text(value) for fact in conversation.facts for value in fact.values())
    links = (match.group().rstrip(".,!?") for match in LINK.pattern.finditer(plain))
    return next((link for link in links if link not in known), None)
