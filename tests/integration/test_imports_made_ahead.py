"""What was imported while a training worked is all that takes long of what measures a candidate."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEASURED = """
import sys
from datetime import UTC, datetime
from pathlib import Path

from nabi.steps.ahead import MEASURING, importing

with importing(MEASURING):
    pass
before = set(sys.modules)

from nabi.conversations.records import Message
from nabi.datasets.samples import Sample
from nabi.evaluation.gate import Luck, decide
from nabi.evaluation.prompts import EvalPrompt
from nabi.personas.load import load_persona
from nabi.serving.engine import Engine
from nabi.steps.evaluate import measure_with
from nabi.training.base_model import load_base, resolve_base

persona = load_persona("nabiyam", Path("personas"))
turns = (Message(role="user", content="떡볶이 먹고 싶어"), Message(role="assistant", content="봄분식 어때요? 😊"))
sample = Sample(
    sample_id="s",
    conversation_id="c",
    persona_id=persona.id,
    source="chat",
    occurred_at=datetime(2026, 7, 1, tzinfo=UTC),
    facts=({"가게": "봄분식", "메뉴": "떡볶이", "가격": "4,000원"},),
    messages=turns,
)
engine = Engine(load_base(resolve_base("tiny-ko", Path("models")), threads=1))
measured = measure_with(engine, persona, [EvalPrompt(sample=sample, group="anchor")], ["base"])
decide(measured["base"], measured["base"], persona.evaluation, Luck(gate=1, most=28))
print(*sorted(set(sys.modules) - before))
"""
# Ours are small, and the base's architecture is known when it is loaded.
EXPECTED = ("nabi.", "transformers.models.qwen3")


def test_measuring_finds_everything_that_takes_long_imported_already() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", MEASURED], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "cannot be imported ahead" not in done.stderr
    more = [name for name in done.stdout.splitlines()[-1].split() if not name.startswith(EXPECTED)]
    assert len(more) <= 10, more
