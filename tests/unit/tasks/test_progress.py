"""Every stage of a pass has its words wherever people look."""

from __future__ import annotations

import re
from pathlib import Path

from tasks.progress import STAGES

CONSOLE = Path(__file__).resolve().parents[3] / "nabi" / "server" / "pages" / "console.js"


def test_the_console_has_words_for_every_stage_in_both_languages_and_the_english_ones_are_the_runs_own() -> None:
    korean, english = (
        dict(re.findall(r'(\w+): "([^"]+)"', found))
        for found in re.findall(r"stages: \{(.*?)\}", CONSOLE.read_text(encoding="utf-8"), re.DOTALL)
    )
    assert english == {stage: words for stage, (_percent, words) in STAGES.items()}
    assert korean.keys() == STAGES.keys()
    assert all(re.search("[가-힣]", words) for words in korean.values())


def test_a_pass_is_a_third_dataset_then_training_and_a_tenth_of_measuring_and_saving() -> None:
    order = [percent for percent, _words in STAGES.values()]
    assert order == sorted(order)
    assert {stage for stage, (percent, _) in STAGES.items() if percent < 30} == {
        *("collect", "filter", "bootstrap", "snapshot")
    }
    assert {stage for stage, (percent, _) in STAGES.items() if 30 <= percent < 90} == {"train"}
