"""What people see of a pass in the Prefect pages."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nabi.evaluation.gate import Contender
from nabi.evaluation.score import PromptScore
from nabi.settings import Settings
from nabi.steps.pages import comparison_table, dataset_page, filter_table, verdict_page
from nabi.steps.window import Candidate, Judged, Kept, Scored, Snapshot, Window

WINDOW = Window(persona_id="small", as_of=datetime(2026, 7, 1, 3, tzinfo=UTC))
SNAPSHOT = Snapshot(
    window=WINDOW,
    run_id="r1",
    version="50804d5f.dir",
    digest="d" * 64,
    num_train=30,
    num_holdout=5,
    num_anchors=10,
    num_new=30,
)
CANDIDATE = Candidate(
    window=WINDOW,
    snapshot=SNAPSHOT,
    adapter="small--v2",
    digest="a" * 64,
    train_loss=1.2,
    holdout_loss=None,
    seconds=61.4,
)
PLATFORM: Any = SimpleNamespace(
    settings=Settings(mlflow_port=5123), tracker=SimpleNamespace(experiment_id=lambda _persona: "7")
)


def score(sample_id: str, quality: float, broken: tuple[str, ...] = ()) -> PromptScore:
    return PromptScore(
        sample_id=sample_id,
        group="anchor",
        kind="price",
        answer="민지야, 라면 어때요?",
        parts={"grounded": quality},
        quality=quality,
        broken=broken,
    )


def test_the_filter_table_adds_up_and_tells_every_reason_most_frequent_first() -> None:
    rows = filter_table(Kept(window=WINDOW, num_new=6, num_learned=2, refused={"too short": 3, "spam": 9}))
    assert [(row["outcome"], row["conversations"], row["share"]) for row in rows] == [
        ("kept: new", 6, "30.0%"),
        ("kept: learned before", 2, "10.0%"),
        ("set apart: spam", 9, "45.0%"),
        ("set apart: too short", 3, "15.0%"),
        ("all", 20, "100.0%"),
    ]


def test_an_empty_window_has_a_table_too() -> None:
    rows = filter_table(Kept(window=WINDOW, num_new=0, num_learned=0, refused={}))
    assert [row["conversations"] for row in rows] == [0, 0, 0]


def test_the_comparison_shows_each_contender_in_its_role_and_no_answer(tmp_path: Path) -> None:
    scores = {
        "base": [score("s1", 0.25), score("s2", 0.5, ("repetition",))],
        "small--v1": [score("s1", 0.5), score("s2", 0.5)],
        "small--v2": [score("s1", 0.75), score("s2", 1.0)],
    }
    path = tmp_path / "scores.json"
    contenders = {name: Contender(name=name, scores=tuple(rows)).model_dump() for name, rows in scores.items()}
    path.write_text(json.dumps(contenders))
    rows = comparison_table(Scored(candidate=CANDIDATE, opponent="small--v1", champion="small--v1", scores=path))
    assert [(row["contender"], row["role"], row["quality"]) for row in rows] == [
        ("base", "base", "0.375"),
        ("small--v1", "champion", "0.500"),
        ("small--v2", "candidate", "0.875"),
    ]
    assert [row["breaks a hard gate"] for row in rows] == [1, 0, 0]
    assert {row["prompts"] for row in rows} == {2}
    assert {row["grounded"] for row in rows} == {"0.375", "0.500", "0.875"}
    assert "민지" not in json.dumps(rows, ensure_ascii=False)


def test_verdict_and_dataset_lead_to_the_mlflow_run_and_back_to_the_exact_dataset() -> None:
    judged = Judged(
        candidate=CANDIDATE,
        champion="small--v1",
        deploy=True,
        sentence="deployed: +75.0 % over small--v1",
        gain=0.75,
        champion_quality=0.5,
        candidate_quality=0.875,
    )
    verdict, dataset = verdict_page(PLATFORM, judged), dataset_page(PLATFORM, SNAPSHOT)
    run = "http://127.0.0.1:5123/#/experiments/7/runs/r1"
    assert "## small--v2: deploy" in verdict
    assert "deployed: +75.0 % over small--v1" in verdict
    assert "| gain | +75.0% |" in verdict
    assert "| loss on held-out samples | – |" in verdict
    assert f"({run})" in verdict
    assert f"({run}/artifacts/evaluation/gate.md)" in verdict
    for page in (verdict, dataset):
        assert f"({run}/artifacts/dataset)" in page
        assert "`nabi datasets checkout 50804d5f.dir --persona small`" in page
    assert "| train | 30 |" in dataset
