"""What the card advises: amounts, topics, noise, difficulty, lengths, tools."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from nabi.conversations.records import Conversation, Message
from nabi.datasets.advice import Balance, advise, describe_balance, is_noisy
from nabi.datasets.card import render_card, render_overview
from nabi.datasets.card_pictures import save_card_picture
from nabi.datasets.samples import Sample, sample_from
from nabi.datasets.snapshot import build_snapshot, load_snapshot
from nabi.personas.model import Curation, Evaluation, Persona, Style

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
AGENT = Persona(
    id="data-analysis",
    name="분석",
    system_prompt="짧게.",
    source="agents",
    evaluation=Evaluation(min_answer_chars=100, max_answer_chars=1000, anchors=10),
    curation=Curation(tools=("calculator", "data_analysis")),
    style=Style(endings=("니다[.]?$",)),
)


def talk(
    number: int, *, answer: str = "네, 그렇습니다.", source: str = "agents", kind: str | None = None
) -> Conversation:
    return Conversation(
        conversation_id=f"c-{number}",
        persona_id="data-analysis",
        source=source,
        occurred_at=NOON,
        messages=(Message(role="user", content=f"{number}번 질문"), Message(role="assistant", content=answer)),
        kind=kind,
    )


def samples(num: int, *, answer: str = "네, 그렇습니다.", source: str = "agents", kinds: int = 0) -> list[Sample]:
    return [
        sample_from(talk(n, answer=answer, source=source, kind=f"k{n % kinds}" if kinds else None)) for n in range(num)
    ]


def said(rows: list[Sample], subject: str, tags: dict[str, tuple[str, ...]] | None = None) -> list[tuple[str, str]]:
    found = advise(describe_balance(rows, tags or {}, AGENT), AGENT)
    return [(advice.level, advice.sentence) for advice in found if advice.subject == subject]


@pytest.mark.parametrize(
    ("num", "level", "words"),
    [
        (7, "warning", "collect 13 more"),
        (20, "hint", "50–100 are recommended"),
        (60, "good", "140 more"),
        (200, "good", "ideal"),
    ],
)
def test_amounts_are_judged_by_20_50_and_200(num: int, level: str, words: str) -> None:
    ((found, sentence),) = said(samples(num), "amount")
    assert found == level
    assert words in sentence


def test_catalogue_dialogues_are_no_amount() -> None:
    assert said(samples(300, source="bootstrap"), "amount")[0][0] == "warning"


def test_one_sided_topics_are_named() -> None:
    rows = [*samples(30, kinds=1), *samples(10, kinds=3)]
    assert said(rows, "topics") == [
        ("warning", "85% of the samples are about k0; add conversations about other topics.")
    ]
    assert said(samples(40, kinds=4), "topics") == [("good", "4 topics in a fair mix.")]
    assert said(samples(40), "topics")[0][0] == "hint"


def test_difficulty_is_compared_with_30_50_20() -> None:
    rows = samples(100)
    tags = {row.conversation_id: ("difficulty=쉬움",) for row in rows}
    ((level, sentence),) = said(rows, "difficulty", tags)
    assert level == "hint"
    assert sentence == "easy 100%, medium 0%, hard 0%; wanted easy 30%, medium 50%, hard 20%: add about 50 medium ones."
    wanted = {f"c-{n}": (f"difficulty={'easy' if n < 30 else 'medium' if n < 80 else 'hard'}",) for n in range(100)}
    assert said(rows, "difficulty", wanted)[0][0] == "good"
    assert "100 of them estimated" in said(rows, "difficulty")[0][1]


def test_lengths_of_agents_lie_between_100_and_1000() -> None:
    assert said(samples(40, answer="가" * 99 + "니다."), "length")[0][0] == "good"
    assert said(samples(40), "length") == [
        ("warning", "Only 0% of the answers have 100–1,000 characters; shorten or fill out the others.")
    ]


def test_expected_tools_are_counted_and_missed() -> None:
    rows = samples(10)
    tags = {"c-1": ("tool=calculator",), "c-2": ("tool=calculator", "tool=browser")}
    assert [level for level, _sentence in said(rows, "tools", tags)] == ["hint", "warning"]
    assert "data_analysis" in said(rows, "tools", tags)[0][1]
    assert "browser" in said(rows, "tools", tags)[1][1]
    tags = {"c-1": ("tool=calculator",), "c-2": ("tool=data_analysis",)}
    assert said(rows, "tools", tags) == [("good", "All expected tools are used: calculator in 1, data_analysis in 1.")]


def test_language_form_and_broken_characters_are_checked() -> None:
    assert said(samples(20, answer="These are the figures."), "language")[0][0] == "warning"
    assert said(samples(20, answer="그래요!"), "style")[0][0] == "warning"
    assert said(samples(20, answer="깨진 \ufffd 글입니다."), "format")[0][1].startswith("20 answers hold broken")
    assert said(samples(20), "format") == []


@pytest.mark.parametrize(
    "text", ["그 그 일정은 [불명] 다음 주에", "제가 제가 확인해 보겠습니다", "어 음 그 어 저기 내일요", "(안 들림) 네"]
)
def test_marks_of_poor_transcription_are_noise(text: str) -> None:
    assert is_noisy(text)
    assert said(samples(20, answer=text), "noise")[0][0] == "warning"


@pytest.mark.parametrize(
    "text", ["네, 일정 말씀드리자면요, 다음 주까지 끝내겠습니다.", "음, 좋아요.", "하루하루 나아지고 있어요"]
)
def test_plain_speech_is_no_noise(text: str) -> None:
    assert not is_noisy(text)


def test_card_page_and_overview_carry_the_advice(tmp_path: Path) -> None:
    rows = [talk(n, kind=f"k{n % 3}") for n in range(80)]
    built = build_snapshot(AGENT, [], rows, [], tmp_path)
    page = (built.folder / "card.md").read_text(encoding="utf-8")
    assert "## Advice" in page
    assert "| hard |" in page
    assert load_snapshot(built.folder).card.advice == built.card.advice
    assert "| data-analysis | " in render_overview([built.card])
    assert render_card(built.card) == page


def test_style_tags_of_the_conversations_reach_the_card(tmp_path: Path) -> None:
    rows = [talk(n).model_copy(update={"style_tags": ("tool=calculator", "difficulty=hard")}) for n in range(40)]
    balance = build_snapshot(AGENT, [], rows, [], tmp_path).card.balance
    assert balance is not None
    assert balance.tools == {"calculator": balance.samples}
    assert balance.difficulty == {"easy": 0, "medium": 0, "hard": balance.samples}


def test_the_picture_lies_outside_the_dataset(tmp_path: Path) -> None:
    built = build_snapshot(AGENT, [], [talk(n, kind="글") for n in range(40)], [], tmp_path / "datasets")
    assert save_card_picture(tmp_path / "card.png", built.card)
    assert (tmp_path / "card.png").read_bytes().startswith(b"\x89PNG")
    assert not list(built.folder.glob("*.png"))
    old = built.card.model_copy(update={"balance": None})
    assert not save_card_picture(tmp_path / "old.png", old)
    assert not (tmp_path / "old.png").exists()


def test_an_empty_dataset_gets_advice_too() -> None:
    balance = describe_balance([], {}, AGENT)
    assert isinstance(balance, Balance)
    assert advise(balance, AGENT)[0].level == "warning"
