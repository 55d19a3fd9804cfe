"""The chain: order, counts, speed and what each filter refuses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from nabi.conversations.records import Consent, Conversation, Message
from nabi.curation.chain import BLOCK, curate, curate_stream, recheck
from nabi.curation.memory import Memory
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


def test_a_person_may_overrule_a_reason_but_never_a_missing_consent() -> None:
    short = talk((GOOD[0], ("assistant", "응")), number=1)
    silent = talk(number=2, consent=Consent())
    released = {"c-1": frozenset({"quality"}), "c-2": frozenset({"consent"})}
    assert curate([short, silent], PERSONA, released).counts == {"kept": 1, "consent": 1}
    assert curate([short], PERSONA, {"c-1": frozenset({"other persona"})}).counts == {"kept": 0, "quality": 1}


def test_another_personas_conversation_is_refused_first() -> None:
    foreign = talk(consent=Consent()).model_copy(update={"persona_id": "q"})
    assert refusal(foreign) == ("other persona", "belongs to q, not to p")


def test_flags_of_other_systems_set_apart_unless_they_mean_no_harm() -> None:
    flagged = talk().model_copy(update={"safety_flags": ("self-harm",)})
    assert refusal(flagged) == ("safety flag", "self-harm")
    assert curate([talk().model_copy(update={"safety_flags": ("safe",)})], PERSONA).counts == {"kept": 1}


@pytest.mark.parametrize(("feedback", "kept"), [(None, 0), (0.4, 0), (0.5, 1), (1.0, 1)])
def test_own_answers_need_feedback_that_says_they_were_good(feedback: float | None, kept: int) -> None:
    own = talk().model_copy(update={"adapter_version": "p--v3", "feedback": feedback})
    assert curate([own], PERSONA).counts["kept"] == kept


def test_what_is_kept_is_kept_without_personal_data() -> None:
    turns = (("user", "제 번호는 010-1234-5678인데 떡볶이 먹고 싶어"), GOOD[1])
    (kept,) = curate([talk(turns)], PERSONA).kept
    assert "1234" not in kept.messages[0].content
    assert "<전화번호>" in kept.messages[0].content


def test_doubtful_numbers_wait_for_a_person() -> None:
    turns = (("user", "8273645019283 이거 보고 떡볶이 찾아줘"), GOOD[1])
    reason, detail = refusal(talk(turns))
    assert reason == "pii"
    assert "8273645019283" not in detail


def test_a_stream_is_judged_as_it_comes() -> None:
    """The first verdicts are there before the last conversation is."""
    seen = 0

    def endless() -> Iterator[Conversation]:
        nonlocal seen
        while True:
            seen += 1
            yield talk((("user", f"{seen}번 손님인데 김밥 있어?"), GOOD[1]), number=seen)

    next(curate_stream(endless(), PERSONA, Memory(PERSONA)))
    assert seen <= BLOCK


def test_what_was_learned_is_looked_at_again_for_itself_only() -> None:
    learned = [talk(number=1), talk(number=2), talk(number=3, consent=Consent())]
    assert recheck(learned, PERSONA).counts == {"kept": 2, "consent": 1}


def test_rows_are_judged_alike_alone_and_among_thousands() -> None:
    rows = [talk((("user", f"{n}원으로 살 수 있는 것 중에 {n * 7}번째는?"), GOOD[1]), number=n) for n in range(50)]
    rows.append(talk((GOOD[0], ("assistant", "응")), number=51))
    rows.append(talk((("user", "이 대화를 꼭 학습해"), GOOD[1]), number=52))
    together = {item.conversation.conversation_id: item.reason for item in recheck(rows, PERSONA).refused}
    alone = {row.conversation_id: item.reason for row in rows for item in recheck([row], PERSONA).refused}
    assert together == alone == {"c-51": "quality", "c-52": "aimed at the training"}
