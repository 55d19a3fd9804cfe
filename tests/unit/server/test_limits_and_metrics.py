"""What a busy server refuses, as OpenAI's client meets it, and what an answer leaves in the figures."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families
from served_home import make_home, serving
from waiting import wait_for

from nabi.wiring import Platform

ASK: Any = [{"role": "user", "content": "라면 먹고 싶어"}]


def _token(platform: Platform, scope: str) -> str:
    return (platform.settings.state / "secrets" / f"{scope}.token").read_text()


def test_one_more_than_the_queue_holds_gets_a_429(tmp_path: Path, tiny_base_dir: Path) -> None:
    platform = make_home(tmp_path / "home", tiny_base_dir.parent, answers_at_once=1, max_waiting=1)
    with serving(platform) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=_token(platform, "chat"), max_retries=0)

        def ask(_number: int) -> openai.RateLimitError | str:
            try:
                return client.chat.completions.create(model="bare", messages=ASK, max_tokens=200).object
            except openai.RateLimitError as error:
                return error

        with ThreadPoolExecutor(12) as pool:
            met = list(pool.map(ask, range(12)))
        refused = [one for one in met if isinstance(one, openai.RateLimitError)]
        assert "chat.completion" in met
        assert refused
        for error in refused:
            assert (error.code, error.type) == ("queue_full", "rate_limit_error")
            assert error.response.headers["retry-after"] == "1"
            assert "1 requests wait already" in error.message
        assert ask(0) == "chat.completion"


def test_a_token_that_asks_too_often_gets_a_429(tmp_path: Path, tiny_base_dir: Path) -> None:
    platform = make_home(tmp_path / "home", tiny_base_dir.parent, requests_per_minute=2)
    with serving(platform) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=_token(platform, "chat"), max_retries=0)
        for _ in range(2):
            client.models.list()
        with pytest.raises(openai.RateLimitError) as refused:
            client.models.list()
        assert refused.value.code == "rate_limit_exceeded"
        assert 0 < int(refused.value.response.headers["retry-after"]) <= 31
        assert openai.OpenAI(base_url=f"{url}/v1", api_key=_token(platform, "operator"), max_retries=0).models.list()


def test_what_the_watch_looks_at_is_in_metrics_and_in_the_record(tmp_path: Path, tiny_base_dir: Path) -> None:
    """Requirement C13, by persona and version."""
    platform = make_home(tmp_path / "home", tiny_base_dir.parent)
    declared = platform.settings.personas / "bare.yaml"
    declared.write_text(f"{declared.read_text()}style: {{forbidden: ['.']}}\n")  # whatever it says breaks this rule
    with serving(platform) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=_token(platform, "chat"), max_retries=0)
        said = client.chat.completions.create(model="bare", messages=ASK, max_tokens=12)
        headers = {"Authorization": f"Bearer {_token(platform, 'operator')}"}
        text = httpx.get(f"{url}/metrics", headers=headers, timeout=60).text
        record = wait_for(lambda: platform.answers.get(said.id))
    figures = {
        (
            sample.name,
            *(value for name, value in sample.labels.items() if name in {"ended", "kind", "rule"}),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("persona") == "bare" and sample.labels.get("version") == "minute"
    }
    usage, answer = said.usage, said.choices[0]
    assert usage
    assert answer.message.content
    assert figures["nabi_answers_total", answer.finish_reason] == 1
    assert figures["nabi_tokens_total", "prompt"] == usage.prompt_tokens == record.num_prompt_tokens
    assert figures["nabi_tokens_total", "answer"] == usage.completion_tokens == record.num_tokens
    assert figures["nabi_answer_chars_sum",] == len(answer.message.content) == record.num_chars
    assert figures["nabi_answer_seconds_sum",] == pytest.approx(record.seconds)
    assert figures["nabi_first_token_seconds_sum",] == pytest.approx(record.seconds_to_first)
    assert 0 < record.seconds_to_first <= record.seconds
    broken = {rule for name, *rest in figures if name == "nabi_violations_total" for rule in rest}
    assert "forbidden_words" in broken
    assert broken == set(record.violations)
