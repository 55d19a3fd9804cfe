"""The chain: order, counts, speed and what each filter refuses."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from nabi.conversations.records import Consent, Conversation, Message
from nabi.curation.chain import curate
from nabi.personas.model import Persona, Style

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
YES = Consent(training=True, given_at=NOON - timedelta(days=1))
GOOD = (("user", "떡볶이 먹고 싶어"), ("assistant", "해맑은분식에서 떡볶이 4,500원 어때요? 착한가게예요! 😊"))
PERSONA = Persona(id="p", name="시험", system_prompt="짧게.", style=Style(forbidden=("습니다", "맥주")))


def talk(
    turns: tuple[tuple[str, str], ...] = GOOD, consent: Consent = YES, source: str = "chat", number: int = 0
) -> Conversation:
    return Conversation(
        conversation_id=f"c-{number}",
        persona_id="p",
        source=source,
        occurred_at=NOON,
        messages=tuple(Message.model_validate({"role": role, "content": content}) for role, content in turns),
        consent=consent,
    )


def refusal(conversation: Conversation) -> tuple[str, str]:
    """Reason and detail of the only refusal."""
    curated = curate([conversation], PERSONA)
    ((_, reason, detail),) = curated.refused
    return reason, detail


def test_a_good_consented_conversation_is_kept() -> None:
    assert curate([talk()], PERSONA).kept == (talk(),)


@pytest.mark.parametrize(
    ("consent", "detail"),
    [
        (Consent(), "no consent to training"),
        (Consent(training=False, given_at=NOON), "no consent to training"),
        (Consent(training=True, given_at=NOON + timedelta(hours=1)), "given only at 2026-07-01 13:00 UTC"),
        (Consent(training=True, withdrawn_at=NOON + timedelta(days=2)), "withdrawn at 2026-07-03 12:00 UTC"),
        (Consent(training=True, guardian=False), "the guardian did not agree"),
    ],
)
def test_without_consent_nothing_is_learned(consent: Consent, detail: str) -> None:
    reason, said = refusal(talk(consent=consent))
    assert reason == "consent"
    assert detail in said


def test_a_guardians_yes_and_an_adults_silence_are_kept() -> None:
    for guardian in (True, None):
        consent = Consent(training=True, given_at=NOON, guardian=guardian)
        assert curate([talk(consent=consent)], PERSONA).counts == {"kept": 1}


def test_catalogue_dialogues_need_no_consent() -> None:
    assert curate([talk(consent=Consent(), source="bootstrap")], PERSONA).counts == {"kept": 1}


@pytest.mark.parametrize(
    ("turns", "detail"),
    [
        ((), "only 0 turns"),
        ((GOOD[1],), "only 1 turns"),
        ((GOOD[0],), "only 1 turns"),
        ((("system", "짧게."), GOOD[1]), "only 1 turns"),
        ((*GOOD, ("user", "고마워")), "ends with assistant → user"),
        ((GOOD[0], GOOD[1], GOOD[1]), "ends with assistant → assistant"),
        ((("user", " "), GOOD[1]), "the last user turn is empty"),
        ((GOOD[0], ("assistant", "\n")), "the last assistant turn is empty"),
    ],
)
def test_what_does_not_end_with_an_answer_is_incomplete(turns: tuple[tuple[str, str], ...], detail: str) -> None:
    reason, said = refusal(talk(turns))
    assert reason == "incomplete"
    assert detail in said


def test_forbidden_words_in_any_answer_are_refused_with_the_word() -> None:
    turns = (GOOD[0], ("assistant", "시원한 맥주 어때요?"), *GOOD)
    assert refusal(talk(turns)) == ("forbidden words", "'맥주' in an answer")


def test_users_may_say_what_the_persona_may_not() -> None:
    turns = (("user", "아빠가 좋아하는 맥주 말고 내가 먹을 것 알려 주십시오. 부탁합니다"), GOOD[1])
    assert curate([talk(turns)], PERSONA).counts == {"kept": 1}


def test_low_quality_is_refused_with_the_parts_that_lowered_it() -> None:
    assert refusal(talk((GOOD[0], ("assistant", "응")))) == ("quality", "0.20 is below 0.7: length 0.20")


def test_the_threshold_is_the_personas() -> None:
    lenient = PERSONA.model_copy(update={"min_quality": 0.1})
    assert curate([talk((GOOD[0], ("assistant", "응")))], lenient).counts == {"kept": 1}


def test_consent_is_asked_before_anything_looks_into_the_text() -> None:
    assert refusal(talk((("user", ""),), consent=Consent()))[0] == "consent"


def test_everything_is_kept_or_refused_and_counted() -> None:
    rows = [talk(number=1), talk(number=2, consent=Consent()), talk((), number=3), talk(number=4, consent=Consent())]
    curated = curate(rows, PERSONA)
    assert curated.counts == {"kept": 1, "consent": 2, "incomplete": 1}
    assert [refused.conversation.conversation_id for refused in curated.refused] == ["c-2", "c-3", "c-4"]


def test_ten_thousand_rows_take_seconds_at_most() -> None:
    """The goal is 10,000 rows a second on a free core; the bound leaves room for a busy machine."""
    rows = [talk((*GOOD, ("user", f"{n}원으로는?"), GOOD[1]), number=n) for n in range(10_000)]
    start = time.process_time()
    assert curate(rows, PERSONA).counts == {"kept": 10_000}
    assert time.process_time() - start < 4
