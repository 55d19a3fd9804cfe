"""Meeting transcripts in every format: whose words, what they answer, who agreed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nabi.conversations.keys import user_key
from nabi.conversations.records import Basis, Consent, Conversation
from nabi.conversations.sources.meeting import JSON, SUBRIP, TEXT, WEBVTT, meeting_format, read_meeting
from nabi.conversations.sources.rows import (
    ANSWERS_NOTHING,
    NO_PERMISSION,
    NO_PERSONA,
    OTHER_PERSONA,
    UNUSABLE_ROW,
    Accepted,
    Delivery,
    Refused,
    Row,
)
from nabi.errors import DataError
from nabi.personas.model import Persona, Speaker

KEY = b"k" * 32
START = datetime(2026, 6, 30, 5, tzinfo=UTC)
BASIS = Basis(source="meeting", by="홍길동", on=date(2026, 6, 1), why="서면 동의")
YES = {"training": True, "given_at": "2026-06-29T00:00:00+09:00"}


def persona(persona_id: str, speaker_id: str, *names: str, basis: tuple[Basis, ...] = (BASIS,)) -> Persona:
    speaker = Speaker(id=speaker_id, names=names)
    return Persona(id=persona_id, name="이름", system_prompt="말", source="meeting", speaker=speaker, basis=basis)


KIM, LEE = persona("kim", "s1", "김철수", "김철수 팀장"), persona("lee", "s2", "이영희")
PERSONAS = {"kim": KIM, "lee": LEE}


def participant(speaker_id: str, name: str, consent: Any = YES) -> dict[str, Any]:
    return {"speaker_id": speaker_id, "name": name} | ({} if consent is None else {"consent": consent})


def meeting(*segments: tuple[Any, ...], **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "meeting_id": "weekly",
        "title": "주간 회의",
        "started_at": "2026-06-30T14:00:00+09:00",
        "participants": [participant("s1", "김철수"), participant("s2", "이영희"), participant("s3", "박민수")],
        "segments": [
            {"speaker": speaker, "start": 10.0 * place, "end": 10.0 * place + 9, "text": text}
            for place, (speaker, text) in enumerate(segments)
        ],
    }
    return {field: value for field, value in (values | changes).items() if value is not ...}


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., list[Row]]:
    def read_it(content: Any, name: str = "m.json", *, personas: Any = PERSONAS, **told: Any) -> list[Row]:
        path = tmp_path / name
        if not isinstance(content, bytes):
            content = (content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)).encode()
        path.write_bytes(content)
        return list(read_meeting(path, Delivery(KEY, personas=personas, **told)))

    return read_it


Read = Callable[..., list[Row]]


def said(rows: list[Row]) -> list[tuple[str, str, str]]:
    """Who answered what with what, of the accepted rows."""
    found = [row.conversation for row in rows if isinstance(row, Accepted)]
    return [(c.persona_id, c.messages[0].content, c.messages[1].content) for c in found]


def why(rows: list[Row]) -> list[tuple[int, str, str]]:
    return [(row.line, row.field, row.phrase) for row in rows if isinstance(row, Refused)]


def first(rows: list[Row]) -> Conversation:
    return next(row.conversation for row in rows if isinstance(row, Accepted))


def test_each_utterance_answers_what_others_said_since_the_speaker_last_spoke(read: Read) -> None:
    rows = read(
        meeting(("s2", "일정 볼까요?"), ("s1", "네."), ("s3", "저도요."), ("s2", "좋습니다."), ("s1", "시작하죠."))
    )
    assert said(rows) == [
        ("kim", "일정 볼까요?", "네."),
        ("lee", "네.\n저도요.", "좋습니다."),
        ("kim", "저도요.\n좋습니다.", "시작하죠."),
    ]
    assert why(rows) == [(1, "text", ANSWERS_NOTHING), (1, "speaker", NO_PERSONA)]


def test_consecutive_segments_of_a_speaker_are_one_utterance_even_by_id_and_name(read: Read) -> None:
    rows = read(meeting(("이영희", "볼까요?"), ("s1", "네,"), ("김철수", "말씀드리면요,"), ("s1", "끝났습니다.")))
    assert said(rows) == [("kim", "볼까요?", "네, 말씀드리면요, 끝났습니다.")]


def test_a_conversation_has_a_stable_id_the_speech_s_time_and_the_speakers_hashes(read: Read) -> None:
    rows = read(meeting(("s2", "볼까요?"), ("s1", "네.")))
    conversation = first(rows)
    assert conversation.conversation_id == "meeting/weekly#0002"
    assert (conversation.source, conversation.occurred_at) == ("meeting", START + timedelta(seconds=10))
    assert conversation.user_key == user_key("s1", KEY)
    assert conversation.other_keys == (user_key("s2", KEY),)
    assert rows == read(meeting(("s2", "볼까요?"), ("s1", "네.")))


def test_at_most_three_utterances_of_others_are_quoted(read: Read) -> None:
    talk = [("s2", "하나"), ("s3", "둘"), ("s2", "셋"), ("s3", "넷"), ("s1", "네.")]
    assert said(read(meeting(*talk)))[-1] == ("kim", "둘\n셋\n넷", "네.")


def test_segments_out_of_order_are_put_in_the_order_of_their_start(read: Read) -> None:
    delivered = meeting(("s2", "볼까요?"), ("s1", "네."), ("s2", "좋아요."))
    delivered["segments"].reverse()
    assert said(read(delivered)) == [("kim", "볼까요?", "네."), ("lee", "네.", "좋아요.")]


def test_what_follows_an_unreadable_segment_answers_nothing_that_is_known(read: Read) -> None:
    delivered = meeting(("s2", "볼까요?"), ("s3", "x"), ("s1", "네."), ("s2", "좋아요."))
    delivered["segments"][1]["text"] = "떡�이"
    rows = read(delivered)
    assert said(rows) == [("lee", "네.", "좋아요.")]
    assert [phrase for _line, _field, phrase in why(rows)] == [ANSWERS_NOTHING, UNUSABLE_ROW, ANSWERS_NOTHING]


# Who agreed


def test_the_consent_of_a_sample_is_that_of_everybody_whose_words_are_in_it(read: Read) -> None:
    later = {"training": True, "given_at": "2026-06-30T00:00:00+09:00"}
    people = [participant("s1", "김철수"), participant("s2", "이영희", later)]
    [row] = [r for r in read(meeting(("s2", "a"), ("s1", "b"), participants=people)) if isinstance(r, Accepted)]
    assert row.conversation.consent == Consent(training=True, given_at=datetime(2026, 6, 29, 15, tzinfo=UTC))
    assert row.conversation.basis is None


@pytest.mark.parametrize("no", [False, None, {"training": False}, YES | {"withdrawn_at": "2026-07-01T00:00:00Z"}])
@pytest.mark.parametrize("whose", ["s1", "s2"])
def test_one_person_s_no_is_a_no_although_a_basis_is_declared(read: Read, no: Any, whose: str) -> None:
    people = [participant(i, n, no if i == whose else True) for i, n in (("s1", "김철수"), ("s2", "이영희"))]
    conversation = first(read(meeting(("s2", "a"), ("s1", "b"), participants=people)))
    assert not conversation.consent.allows_training_at(conversation.occurred_at)


def test_a_person_who_is_not_listed_did_not_agree(read: Read) -> None:
    rows = read(meeting(("지나가던 사람", "a"), ("s1", "b")))
    assert first(rows).consent.training is False


def test_a_transcript_without_consents_is_learned_from_on_the_declared_basis_only(read: Read) -> None:
    people = [participant("s1", "김철수", None), participant("s2", "이영희", None)]
    delivered = meeting(("s2", "a"), ("s1", "b"), participants=people)
    conversation = first(read(delivered))
    assert (conversation.basis, conversation.consent) == (BASIS, Consent(training=True))
    refused = read(delivered, personas={"kim": persona("kim", "s1", "김철수", basis=())})
    assert said(refused) == []
    assert {phrase for _line, _field, phrase in why(refused)} == {NO_PERSONA, NO_PERMISSION}


def test_words_that_nobody_permitted_are_not_kept(read: Read) -> None:
    rows = read(
        meeting(("s2", "비밀 이야기"), ("s1", "비밀 대답"), participants=...),
        personas={"kim": persona("kim", "s1", "김철수", basis=())},
    )
    assert [row for row in rows if isinstance(row, Accepted)] == []
    assert "비밀" not in repr(rows)
    assert len({row.excerpt for row in rows if isinstance(row, Refused)}) == 2  # each kept apart by itself


# Whose words


def test_a_speaker_without_persona_is_reported_utterance_by_utterance(read: Read) -> None:
    rows = read(meeting(("s2", "a"), ("s3", "b"), ("s1", "c"), ("s3", "d")))
    nobody = [row for row in rows if isinstance(row, Refused) and row.phrase == NO_PERSONA]
    assert [(row.speaker, row.persona_id, row.user_key) for row in nobody] == [
        ("박민수", None, user_key("s3", KEY))
    ] * 2


def test_an_id_that_is_somebody_else_s_here_teaches_nobody(read: Read) -> None:
    """Transcription tools count speakers anew in each meeting."""
    people = [participant("s1", "박민수"), participant("s2", "이영희")]
    rows = read(meeting(("s2", "a"), ("s1", "b"), participants=people))
    assert said(rows) == []
    [other] = [row for row in rows if isinstance(row, Refused) and row.phrase == NO_PERSONA]
    assert other.reason == "kim declares 's1' as 김철수, and here it is '박민수'"


def test_of_two_participants_with_one_name_neither_is_taken_by_name(read: Read) -> None:
    people = [participant("s1", "김철수"), participant("s9", "김철수"), participant("s2", "이영희")]
    rows = read(meeting(("s2", "a"), ("김철수", "b"), ("s2", "c"), ("s1", "d"), participants=people))
    assert [answer for who, _asked, answer in said(rows) if who == "kim"] == ["d"]
    assert "2 participants are called '김철수'" in repr(rows)


def test_a_speaker_whom_two_personas_declare_teaches_neither(read: Read) -> None:
    personas = {"kim": KIM, "double": persona("double", "s8", "김철수")}
    rows = read("이영희: 볼까요?\n김철수: 네", "2026-06-30.txt", personas=personas)
    assert "declared by double and kim" in repr(rows)
    assert said(rows) == []


def test_a_caller_who_asks_for_one_persona_gets_only_its_utterances(read: Read) -> None:
    rows = read(meeting(("s2", "a"), ("s1", "b"), ("s2", "c")), persona_id="kim")
    assert said(rows) == [("kim", "a", "b")]
    assert [phrase for _line, _field, phrase in why(rows)] == [OTHER_PERSONA] * 2


# When


@pytest.mark.parametrize(
    ("name", "started_at"),
    [
        ("2026-06-30_1400-weekly.json", START),
        ("주간회의 20260630T140000.json", START),
        ("2026.06.30 14시00분.json", START),
        ("weekly-2026-06-30.json", START - timedelta(hours=14)),
        ("weekly.json", None),
        ("2026-06-31_1400.json", None),
        ("120260630.json", None),
    ],
)
def test_a_file_s_name_may_tell_when_the_meeting_was(read: Read, name: str, started_at: datetime | None) -> None:
    rows = read(meeting(("s2", "a"), ("s1", "b"), started_at=..., meeting_id=...), name)
    if started_at is None:
        assert [field for _line, field, _phrase in why(rows)] == ["started_at"] * 2
    else:
        assert first(rows).occurred_at == started_at + timedelta(seconds=10)


def test_the_caller_may_tell_when_it_was_and_the_id_says_so(read: Read) -> None:
    rows = read("이영희: 볼까요?\n김철수: 네", "memo.txt", happened_at=START)
    assert first(rows).conversation_id == "meeting/memo-20260630T1400#0002"
    assert first(rows).occurred_at == START


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"started_at": "2026-06-30T14:00:00"}, "started_at"),
        ({"started_at": 7}, "started_at"),
        ({"participants": "김철수"}, "participants"),
        ({"participants": ["김철수"]}, "participants[0]"),
        ({"participants": [{}]}, "participants[0]"),
        ({"participants": [{"speaker_id": "s1", "consent": "yes"}]}, "consent"),
        ({"meeting_id": "x" * 190}, "meeting_id"),
        ({"started_at": "9999-12-31T23:59:59Z"}, "started_at"),
    ],
)
def test_what_is_wrong_with_the_meeting_is_told_for_each_utterance(
    read: Read, changes: dict[str, Any], field: str
) -> None:
    rows = read(meeting(("s2", "a"), ("s1", "b"), **changes))
    assert field in {refusal[1] for refusal in why(rows)}
    assert not said(rows)
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"start": "yesterday"}, "start"),
        ({"start": -1}, "start"),
        ({"start": True}, "start"),
        ({"start": 1e9}, "start"),
        ({"end": 1}, "end"),
        ({"speaker": None}, "speaker"),
        ({"speaker": ["s1"]}, "speaker"),
        ({"speaker": "x" * 121}, "speaker"),
        ({"text": ""}, "text"),
        ({"text": 7}, "text"),
        ({"text": "a\0b"}, "text"),
        ({"text": "a\ud83d"}, "text"),
    ],
)
def test_a_segment_that_breaks_a_rule_is_refused_with_its_field(
    read: Read, changes: dict[str, Any], field: str
) -> None:
    delivered = meeting(("s2", "a"), ("s1", "b"))
    delivered["segments"][1] |= changes
    rows = read(json.dumps(delivered))
    assert why(rows)[-1] == (1, field, UNUSABLE_ROW)
    "".join(row.excerpt for row in rows if isinstance(row, Refused)).encode()


def test_times_may_be_clocks_and_may_be_missing(read: Read) -> None:
    delivered = meeting(("s2", "a"), ("s1", "b"), ("s2", "c"))
    for segment, start in zip(delivered["segments"], ["00:01", "1:00:02.5", None], strict=True):
        segment |= {"start": start, "end": None}
    rows = [row for row in read(delivered) if isinstance(row, Accepted)]
    assert [row.conversation.occurred_at - START for row in rows] == [timedelta(seconds=3602.5), timedelta(0)]


# Formats


SRT = """\
7
00:00:01,000 --> 00:00:02,000
이영희: 시작할까요?

00:00:02,000 --> 00:00:04,500
- 김철수: <i>네</i>, 1 < 2
  이죠
- 이영희: 좋아요

2

x
00:00:05,000 --> 00:00:06,000
[김철수] 2024
2025
"""


def test_subtitles_are_read_whatever_their_numbers(read: Read) -> None:
    rows = read(SRT, "2026-06-30.srt")
    assert said(rows) == [
        ("kim", "시작할까요?", "네, 1 < 2 이죠"),
        ("lee", "네, 1 < 2 이죠", "좋아요"),
    ]
    # The lines 2 and x stand alone: what comes after them is not known to answer what came before.
    assert why(rows) == [(2, "text", ANSWERS_NOTHING), (10, "", UNUSABLE_ROW), (13, "text", ANSWERS_NOTHING)]


def test_a_number_alone_before_a_time_line_is_a_number_even_across_a_blank_line(read: Read) -> None:
    rows = read(SRT.replace("\nx\n", "\n"), "2026-06-30.srt")
    assert said(rows)[-1] == ("kim", "좋아요", "2024 2025")


@pytest.mark.parametrize(
    ("cue", "field"),
    [
        ("00:00:xx --> 00:00:02,000\n김철수: 네", "start"),
        ("00:00:03,000 --> 00:00:02,000\n김철수: 네", "end"),
        ("00:00:03,000 --> 00:00:04,000\n네", "speaker"),
        ("00:00:03,000 --> 00:00:04,000", "text"),
        ("00:00:03,000 --> 00:00:04,000\n김철수:", "text"),
        ("00:00:03,000 --> 00:00:04,000\n김철수: 떡�이", "text"),
        ("00:00:03,000 --> 00:00:04,000\n김철수: 네\r이영희: 아니요", "text"),
        ("김철수: 네", ""),
    ],
)
def test_a_cue_that_breaks_a_rule_is_refused_and_the_next_is_read(read: Read, cue: str, field: str) -> None:
    rows = read(
        f"1\n00:00:01,000 --> 00:00:02,000\n이영희: 네\n\n{cue}\n\n"
        "3\n00:00:05,000 --> 00:00:06,000\n이영희: 다음\n\n4\n00:00:07,000 --> 00:00:08,000\n김철수: 네\n",
        "2026-06-30.srt",
    )
    assert field in [refusal[1] for refusal in why(rows) if refusal[2] == UNUSABLE_ROW]
    assert said(rows) == [("kim", "다음", "네")]


VTT = """\
WEBVTT - 시안 검토
Kind: captions

NOTE
김철수: 이것은 말이 아니다

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02.000 align:start
<v 이영희>볼까요&nbsp;&amp; 갈까요?</v>

00:02.500 --> 00:04.000
<v.loud 김철수>네, <c.yellow>좋은</c> <00:03.000>것 같아요</v> <v 이영희>그렇죠</v>
"""


def test_voices_and_asides_of_webvtt_are_understood(read: Read) -> None:
    assert said(read(VTT, "2026-06-30.vtt")) == [
        ("kim", "볼까요 & 갈까요?", "네, 좋은 것 같아요"),
        ("lee", "네, 좋은 것 같아요", "그렇죠"),
    ]


def test_a_mark_between_two_parts_of_a_letter_leaves_composed_text(read: Read) -> None:
    rows = read("WEBVTT\n\n00:01.000 --> 00:02.000\n<v 이영희>\u1112<b>\u1161</b>\u11ab\n\n", "2026-06-30.vtt")
    [row] = rows
    assert isinstance(row, Refused)
    assert row.excerpt == "이영희: 한"


TEXT_LINES = """\
제목 없는 회의

[00:00:01] 이영희: 볼까요?
00:00:05 김철수 팀장: 네, 10:30에 봅시다.
 늦지 않게요: 꼭이요. http://a.example
이영희 (00:00:09)： 좋아요
"""


def test_plain_text_has_names_clocks_and_lines_that_go_on(read: Read) -> None:
    rows = read(TEXT_LINES, "2026-06-30.txt")
    assert said(rows)[0][:2] == ("kim", "볼까요?")
    assert why(rows)[0] == (1, "speaker", UNUSABLE_ROW)
    times = [row.conversation.occurred_at.second for row in rows if isinstance(row, Accepted)]
    assert times[0] == 5


@pytest.mark.parametrize(
    ("line", "goes_on"),
    [("10:30에 봅시다", True), ("http://a.example", True), ("(웃음)", True), ("3: 셋", True), ("박민수: 네", False)],
)
def test_a_colon_alone_makes_no_speaker(read: Read, line: str, goes_on: bool) -> None:
    rows = read(f"이영희: 볼까요?\n김철수: 네\n{line}", "2026-06-30.txt")
    assert said(rows) == [("kim", "볼까요?", f"네 {line}" if goes_on else "네")]


def test_a_bare_list_and_segments_line_by_line_are_one_meeting(read: Read) -> None:
    segments = meeting(("s2", "볼까요?"), ("김철수", "네"))["segments"]
    expected = [("kim", "볼까요?", "네")]
    lines = "\n".join(json.dumps(segment, ensure_ascii=False) for segment in segments)
    for content, name in ((segments, "2026-06-30.json"), (lines, "2026-06-30.jsonl")):
        rows = read(content, name)
        assert said(rows) == expected
        assert first(rows).basis == BASIS


def test_several_meetings_may_stand_in_one_file(read: Read) -> None:
    meetings = [meeting(("s2", "a"), ("s1", "b"), meeting_id=name) for name in ("one", "two")]
    lines = "\n".join(json.dumps(item) for item in meetings)
    for content in (meetings, lines):
        ids = [row.conversation.conversation_id for row in read(content) if isinstance(row, Accepted)]
        assert ids == ["meeting/one#0002", "meeting/two#0002"]


def test_lines_are_those_of_the_file(read: Read) -> None:
    rows = read(json.dumps(meeting(("s2", "a"), ("s1", "b")), indent=1))
    accepted = next(row for row in rows if isinstance(row, Accepted))
    text = json.dumps(meeting(("s2", "a"), ("s1", "b")), indent=1).split("\n")
    assert '"start": 10.0' in "".join(text[accepted.line - 1 : accepted.line + 3])


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.txt", "{}", JSON),
        ("a.txt", " [\n{}]", JSON),
        ("a.json", "", JSON),
        ("a.txt", "[00:01] 김철수: 네", TEXT),
        ("a.srt", "김철수: 네", SUBRIP),
        ("a.txt", "WEBVTT\n\n", WEBVTT),
        ("a.txt", "1\n00:00:01,000 --> 00:00:02,000\n네", SUBRIP),
        ("a.vtt", "", WEBVTT),
        ("a.json", '{"title": "' + "x" * (2 << 20) + '"}', JSON),
    ],
)
def test_a_format_is_told_by_the_content_first(tmp_path: Path, name: str, content: str, found: str) -> None:
    (tmp_path / name).write_text(content)
    assert meeting_format(tmp_path / name) == found


# Damage


def cues(*said: str) -> str:
    """SubRip cues of one second each."""
    return "\n\n".join(f"{n}\n00:00:{n:02d},000 --> 00:00:{n + 1:02d},000\n{text}" for n, text in enumerate(said, 1))


LINES = ("이영희: 볼까요?", "김철수: 네, 좋은 것 같아요")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp949"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps(meeting(("s2", "볼까요?"), ("s1", "네, 좋은 것 같아요")), ensure_ascii=False)),
        ("2026-06-30.txt", "\r\n".join(LINES)),
        ("2026-06-30.vtt", f"WEBVTT\n\n{cues(*LINES)}"),
        ("2026-06-30.srt", cues(*LINES).replace("\n", "\r\n")),
    ],
)
def test_transcripts_are_read_whatever_their_encoding(read: Read, encoding: str, name: str, content: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    assert said(read((mark + content).encode(encoding), name)) == [("kim", "볼까요?", "네, 좋은 것 같아요")]


def test_a_truncated_document_gives_what_stands_before_the_break(read: Read) -> None:
    whole = json.dumps(meeting(("s2", "a"), ("s1", "b"), ("s2", "c")), ensure_ascii=False)
    rows = read(whole[: whole.index('"c"')])
    assert said(rows) == [("kim", "a", "b")]
    assert isinstance(rows[-1], Refused)
    assert "no valid JSON from here on" in rows[-1].reason


def test_a_document_that_breaks_off_before_the_consents_is_not_covered_by_the_basis(read: Read) -> None:
    delivered = meeting(("s2", "a"), ("s1", "b"))
    people = delivered.pop("participants")
    whole = json.dumps(delivered | {"participants": people})
    rows = read(whole[: whole.index('"participants"')])
    assert not said(rows)
    assert [field for _line, field, _phrase in why(rows)][:2] == ["participants"] * 2


def test_one_wrong_byte_costs_one_segment(read: Read) -> None:
    whole = json.dumps(meeting(("s2", "처음"), ("s1", "둘째"), ("s2", "셋째"), ("s1", "넷째")), ensure_ascii=False)
    damaged = whole.encode().replace("처음".encode(), "처음".encode()[:-1])
    rows = read(damaged)
    assert said(rows) == [("lee", "둘째", "셋째"), ("kim", "셋째", "넷째")]
    assert "U+DC" in rows[0].reason if isinstance(rows[0], Refused) else False


@pytest.mark.parametrize("name", ["m.json", "2026-06-30.srt", "2026-06-30.vtt", "2026-06-30.txt"])
def test_ten_megabytes_on_one_line_are_refused_and_quickly(read: Read, name: str) -> None:
    long = "가 <v ." * 1_500_000
    lines = ("이영희: a", f"김철수: {long}", "이영희: b", "김철수: c")
    content: dict[str, Any] = {
        "m.json": meeting(("s2", "a"), ("s1", long), ("s2", "b"), ("s1", "c")),
        "2026-06-30.txt": "\n".join(lines),
    }
    rows = read(content.get(name, cues(*lines)), name)
    assert said(rows) == [("kim", "b", "c")]
    assert "longer than" in repr(rows)


@pytest.mark.parametrize("sign", ["<v ", "<v.a", "<b ", "{\\", "가 ", " ", "가", "00:01 --> ", "[", "("])
def test_a_long_line_of_one_sign_is_no_riddle(read: Read, sign: str) -> None:
    """Each pattern is bounded: an unbounded one would search a line of a million signs a million times."""
    for name in ("2026-06-30.srt", "2026-06-30.txt"):
        line = sign * (300_000 // len(sign.encode()))
        assert len(read(f"00:00:01,000 --> 00:00:02,000\n김철수: {line}\n{line}\n", name)) >= 1


@pytest.mark.parametrize("name", ["m.json", "m.srt", "m.vtt", "m.txt"])
@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe", b"\xef\xbb\xbf"])
def test_an_empty_file_holds_nothing(read: Read, name: str, content: bytes) -> None:
    assert read(content, name) == []


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        list(read_meeting(tmp_path / "none.srt", Delivery(KEY)))
