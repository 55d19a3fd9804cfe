"""Masking a conversation before the filters, and setting apart what it leaves."""

from __future__ import annotations

from datetime import UTC, datetime

from nabi.conversations.records import Conversation, Fact, Message
from nabi.curation.pii.conversation import doubtful_pii_filter, mask_conversation
from nabi.curation.verdict import KEPT, Refused


def talk(*turns: tuple[str, str], facts: tuple[Fact, ...] = ()) -> Conversation:
    return Conversation(
        conversation_id="c-1",
        persona_id="p",
        source="chat",
        occurred_at=datetime(2026, 7, 1, tzinfo=UTC),
        messages=tuple(Message.model_validate({"role": role, "content": content}) for role, content in turns),
        facts=facts,
    )


def test_questions_and_answers_are_masked() -> None:
    masked = mask_conversation(
        talk(("user", "제 번호는 010-1234-5678이에요"), ("assistant", "010-1234-5678로 전화드릴게요!"))
    )
    assert [message.content for message in masked.messages] == [
        "제 번호는 <전화번호>이에요",
        "<전화번호>로 전화드릴게요!",
    ]


def test_a_conversation_without_secrets_is_the_same_one() -> None:
    conversation = talk(("user", "떡볶이 얼마예요?"), ("assistant", "4,500원이에요 😊"))
    assert mask_conversation(conversation) is conversation


def test_a_shop_keeps_its_address_and_landline_but_nobody_their_mobile_number() -> None:
    shop = {
        "가게": "해맑은분식",
        "주소": "서울시 강남구 테헤란로 152",
        "전화": "02-123-4567",
        "사장님": "010-1234-5678",
    }
    answer = "서울시 강남구 테헤란로 152에 있어요! 02-123-4567, 010-1234-5678"
    masked = mask_conversation(talk(("user", "어디예요?"), ("assistant", answer), facts=(shop,)))
    assert masked.messages[1].content == "서울시 강남구 테헤란로 152에 있어요! 02-123-4567, <전화번호>"
    assert masked.facts == ({**shop, "사장님": "<전화번호>"},)


def test_the_persona_keeps_its_name() -> None:
    conversation = talk(("user", "누구야?"), ("assistant", "제 이름은 나비얌이에요!"))
    assert mask_conversation(conversation, public=("나비얌",)) is conversation
    assert doubtful_pii_filter(public=("나비얌",))(conversation) == KEPT


def test_a_number_that_nothing_explains_is_set_apart_and_not_quoted() -> None:
    conversation = mask_conversation(talk(("user", "이거 29384756이래요"), ("assistant", "확인해 볼게요!")))
    verdict = doubtful_pii_filter()(conversation)
    assert verdict == Refused("pii", "long number of 8 signs in turn 1 (user)")


def test_what_was_not_masked_is_refused() -> None:
    conversation = talk(("user", "hana@daum.net이에요"), ("assistant", "네, 감사합니다!"))
    assert doubtful_pii_filter()(conversation) == Refused("pii", "이메일 that was not masked in turn 1 (user)")
    assert doubtful_pii_filter()(mask_conversation(conversation)) == KEPT


def test_a_number_in_a_retrieved_item_explains_nothing() -> None:
    """It may have come into the item by the same leak: open entries are for shops, not for unknown numbers."""
    item: Fact = {"가게": "해맑은분식", "메모": "918273-04-918273"}
    conversation = mask_conversation(talk(("user", "메모 읽어 줘"), ("assistant", "918273-04-918273"), facts=(item,)))
    assert doubtful_pii_filter()(conversation) == Refused("pii", "long number of 16 signs in a retrieved item")


def test_a_canary_planted_a_hundred_times_is_in_nothing_that_is_kept() -> None:
    canaries = ("010-9182-7364", "900101-1827364", "canary.secret@naver.com", "918273-04-918273", "4539-1488-0343-6467")
    judge = doubtful_pii_filter()
    for turn in range(100):
        canary = canaries[turn % len(canaries)]
        told = ("user", f"국민은행 {canary}이요"), ("assistant", f"{canary} 맞죠?")
        conversation = mask_conversation(talk(*told, facts=({"메모": canary},) if turn % 2 else ()))
        assert isinstance(judge(conversation), Refused) or canary not in conversation.model_dump_json()
