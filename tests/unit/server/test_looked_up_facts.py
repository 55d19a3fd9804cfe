"""Facts of a chat over HTTP: looked up in the persona's catalogue unless the caller brings its own (requirement B6)."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openai
import pytest
from served_home import make_home, serving

from nabi.catalogue.lookup import find_facts
from nabi.conversations.records import Message

ROOT = Path(__file__).resolve().parents[3]
# Allergens are told at every hour, of open shops first.
QUESTION = "떡볶이에 알레르기 있는 거 들어가?"
FOLLOW_UP = "거기 알레르기 표시 알려줘"


@pytest.mark.timeout(120)
def test_facts_are_looked_up_unless_they_are_given(tmp_path: Path, tiny_base_dir: Path) -> None:
    platform = make_home(tmp_path / "home", tiny_base_dir.parent)
    shutil.copyfile(ROOT / "sample_data.xlsx", platform.settings.home / "sample_data.xlsx")
    declared = platform.settings.personas / "nabiyam.yaml"
    declared.write_text(f"{declared.read_text()}bootstrap: {{workbook: sample_data.xlsx}}\n")
    catalogue = platform.catalogue(platform.persona("nabiyam"))
    assert catalogue is not None

    def expected(question: str, history: list[Message]) -> list[dict[str, str]]:
        return [dict(fact) for fact in find_facts(catalogue, question, history, datetime.now(UTC), 8000).facts]

    with serving(platform) as url:
        token = (platform.settings.state / "secrets" / "chat.token").read_text()
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0)

        def told(messages: list[Any], **extra: Any) -> list[dict[str, str]]:
            said: Any = client.chat.completions.create(
                model="nabiyam", messages=messages, max_tokens=1, extra_body=extra
            )
            return list(said.nabi["facts"])

        asked = {"role": "user", "content": QUESTION}
        found = expected(QUESTION, [])
        assert found
        assert told([asked]) == found
        own = [{"회의": "주간 회의", "일시": "금요일 3시"}]
        assert told([asked], facts=own) == own
        assert told([asked], facts=[]) == []
        # What was said before counts: "there" is the place that the answer named.
        answer = f"{found[0]['가게']} 어때요?"
        turns = [asked, {"role": "assistant", "content": answer}, {"role": "user", "content": FOLLOW_UP}]
        history = [Message(role="user", content=QUESTION), Message(role="assistant", content=answer)]
        followed = expected(FOLLOW_UP, history)
        assert [fact["가게"] for fact in followed] == [found[0]["가게"]]
        assert told(turns) == followed
