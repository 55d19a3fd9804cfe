"""OpenAI's own client against the server: what works there works in every tool built on it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from served_home import Served

from nabi.conversations.records import Message
from nabi.datasets.samples import chat_messages
from nabi.errors import ConfigError
from nabi.integrations.openai_chat import ChatServer
from nabi.serving.engine import Engine
from nabi.training.base_model import load_base

ASK = [{"role": "user", "content": "라면 먹고 싶어"}]


@pytest.fixture
def client(served: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.token("chat"), max_retries=0)


@pytest.fixture(scope="module")
def alone(served: Served) -> Engine:
    """The engine of `nabi chat` and of evaluations, with the same adapters."""
    platform = served.platform
    engine = Engine(load_base(platform.base(platform.persona("nabiyam")), threads=1))
    for version in served.digests:
        engine.load(version, platform.settings.adapters / version.partition("--")[0] / version)
    return engine


def _expected(served: Served, alone: Engine, persona_id: str, facts: list[dict[str, str]], version: str | None) -> str:
    persona = served.platform.persona(persona_id)
    turns = [Message(role="user", content=ASK[0]["content"])]
    prompt = chat_messages(persona.system_prompt, turns, facts if persona.uses_facts else None)
    return alone.generate([prompt], version, max_new_tokens=24)[0].text


def test_each_persona_answers_with_its_own_adapter(served: Served, client: openai.OpenAI, alone: Engine) -> None:
    facts = [{"가게": "봄분식", "메뉴": "라면"}]
    for persona_id, version in (("nabiyam", "nabiyam--v1"), ("mari", "mari--v1"), ("bare", None)):
        said = client.chat.completions.create(
            model=persona_id, messages=ASK, max_tokens=24, extra_body={"facts": facts}
        )
        assert said.choices[0].message.content == _expected(served, alone, persona_id, facts, version)
        assert said.model == (version or "minute")
        assert said.nabi["digest"] == served.digests.get(version or "")
        assert said.nabi["facts"] == (facts if persona_id == "nabiyam" else [])
        assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens
        assert said.choices[0].finish_reason in ("stop", "length")


def test_what_prompts_begin_with_is_taken_from_memory_and_counted(served: Served, client: openai.OpenAI) -> None:
    facts = [{"가게": "봄분식", "메뉴": "라면"}]
    told = []
    for question in ("라면", "김밥", "떡볶이"):
        messages = [{"role": "user", "content": question}]
        client.chat.completions.create(model="nabiyam", messages=messages, max_tokens=2, extra_body={"facts": facts})
        headers = {"Authorization": f"Bearer {served.token('operator')}"}
        lines = httpx.get(f"{served.url}/metrics", headers=headers).text.splitlines()
        told.append({line.split("{")[0]: float(line.split()[-1]) for line in lines if line.startswith("nabi_prefix")})
    assert told[-1]["nabi_prefix_bytes"] > 0
    assert told[-1]["nabi_prefix_tokens_total"] > told[0]["nabi_prefix_tokens_total"]


def test_a_version_can_be_asked_by_name(client: openai.OpenAI) -> None:
    by_version = client.chat.completions.create(model="mari--v1", messages=ASK, max_tokens=24)
    by_persona = client.chat.completions.create(model="mari", messages=ASK, max_tokens=24)
    assert by_version.choices[0].message.content == by_persona.choices[0].message.content


def test_a_streamed_answer_is_the_same_answer(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="nabiyam", messages=ASK, max_tokens=24)
    chunks = list(
        client.chat.completions.create(
            model="nabiyam", messages=ASK, max_tokens=24, stream=True, stream_options={"include_usage": True}
        )
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert len([piece for piece in pieces if piece]) > 1
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage
    assert {chunk.model for chunk in chunks} == {"nabiyam--v1"}
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1
    assert chunks[-1].choices == []
    assert all("usage" in chunk.model_fields_set and chunk.usage is None for chunk in chunks[:-1])
    short = list(client.chat.completions.create(model="nabiyam", messages=ASK, max_tokens=2, stream=True))
    assert all("usage" not in chunk.model_fields_set for chunk in short)


def test_seeds_and_stops_are_kept(client: openai.OpenAI) -> None:
    def drawn(seed: int) -> str:
        said = client.chat.completions.create(
            model="bare", messages=ASK, max_tokens=24, temperature=1.0, top_p=0.95, seed=seed
        )
        return said.choices[0].message.content

    assert drawn(3) == drawn(3)
    assert len({drawn(seed) for seed in range(4)}) > 1
    whole = client.chat.completions.create(model="bare", messages=ASK, max_tokens=24).choices[0].message.content
    stop = whole[3:5]
    cut = client.chat.completions.create(model="bare", messages=ASK, max_tokens=24, stop=[stop])
    assert cut.choices[0].message.content == whole[: whole.index(stop)].strip()
    assert cut.choices[0].finish_reason == "stop"


def test_penalties_are_kept_and_the_newer_name_of_the_limit_counts(client: openai.OpenAI) -> None:
    def said(**asked: float) -> str:
        return client.chat.completions.create(model="bare", messages=ASK, **asked).choices[0].message.content

    plain = said(max_tokens=24)
    assert said(max_completion_tokens=24, max_tokens=2) == plain
    assert said(max_tokens=24, frequency_penalty=0, presence_penalty=0) == plain
    penalised = {said(max_tokens=24, **penalty) for penalty in ({"frequency_penalty": 2}, {"presence_penalty": 2})}
    assert plain not in penalised


@pytest.mark.parametrize(
    ("asked", "param", "code"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "unsupported_parameter"),
        ({"tool_choice": "required"}, "tool_choice", "unsupported_parameter"),
        ({"response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
        ({"logprobs": True, "top_logprobs": 2}, "logprobs", "unsupported_parameter"),
        ({"logit_bias": {"50": -100}}, "logit_bias", "unsupported_parameter"),
        ({"modalities": ["text", "audio"]}, "modalities", "unsupported_parameter"),
        ({"reasoning_effort": "high"}, "reasoning_effort", "unsupported_parameter"),
        ({"web_search_options": {}}, "web_search_options", "unsupported_parameter"),
        ({"store": True}, "store", "unsupported_parameter"),
        ({"n": 2}, "n", "literal_error"),
        ({"frequency_penalty": 2.5}, "frequency_penalty", "less_than_equal"),
        ({"presence_penalty": -3}, "presence_penalty", "greater_than_equal"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", None),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_parameter"),
        ({"extra_body": {"top_k": 5}}, "top_k", "unknown_parameter"),
        (
            {"messages": [{"role": "assistant", "content": "", "tool_calls": [{"id": "a"}]}, *ASK]},
            "tool_calls",
            "unsupported_parameter",
        ),
    ],
)
def test_nothing_that_should_change_the_answer_is_passed_over(
    client: openai.OpenAI, asked: dict[str, Any], param: str, code: str | None
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**{"model": "bare", "messages": ASK, "max_tokens": 4} | asked)
    assert (refused.value.param or "").startswith(param)
    assert refused.value.type == "invalid_request_error"
    assert code in {None, refused.value.code}
    assert not refused.value.body["message"].startswith("Value error")


def test_what_asks_for_nothing_more_is_taken(client: openai.OpenAI) -> None:
    said_before = client.chat.completions.create(model="mari", messages=ASK, max_tokens=8).choices[0].message
    said_before.content = "안녕\x07하세요!"  # as a model may say it; all else goes back as the client got it
    history = [{"role": "user", "content": "안녕", "name": "kim"}, said_before, *ASK]
    asked = {"model": "mari", "messages": history, "max_tokens": 8}
    usual = {
        "n": 1,
        "logprobs": False,
        "response_format": {"type": "text"},
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "modalities": ["text"],
        "logit_bias": {},
        "store": False,
        "metadata": {"app": "x"},
        "service_tier": "auto",
        "safety_identifier": "x",
        "prompt_cache_key": "x",
        "frequency_penalty": None,
    }
    said = [client.chat.completions.create(**body).choices[0].message.content for body in (asked, asked | usual)]
    assert said[0] == said[1]


def test_turns_before_and_parts_of_text_are_read(client: openai.OpenAI) -> None:
    turns = [{"role": "user", "content": "안녕"}, {"role": "assistant", "content": "안녕하세요!"}]
    parted = [*turns, {"role": "user", "content": [{"type": "text", "text": "라면 "}, {"type": "text", "text": "줘"}]}]
    plain = [*turns, {"role": "user", "content": "라면 줘"}]
    answers = [client.chat.completions.create(model="mari", messages=m, max_tokens=16) for m in (parted, plain)]
    assert answers[0].choices[0].message.content == answers[1].choices[0].message.content
    short = client.chat.completions.create(model="mari", messages=plain[-1:], max_tokens=16)
    assert answers[0].usage.prompt_tokens > short.usage.prompt_tokens


def test_many_at_once_get_what_each_gets_alone(client: openai.OpenAI) -> None:
    def ask(place: int) -> str:
        model = ("nabiyam", "mari", "bare")[place % 3]
        messages = [{"role": "user", "content": f"김밥 {place % 4},000원"}]
        return client.chat.completions.create(model=model, messages=messages, max_tokens=16).choices[0].message.content

    one_by_one = [ask(place) for place in range(12)]
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, range(12))) == one_by_one


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert names == {"nabiyam", "mari", "bare", "nabiyam--v1", "mari--v1"}
    assert client.models.retrieve("mari").nabi == {"answers": "mari--v1"}
    with pytest.raises(openai.NotFoundError, match="no model 'nobody'"):
        client.models.retrieve("nobody")


def test_errors_come_as_the_client_knows_them(served: Served, client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{served.url}/v1", api_key="wrong", max_retries=0).models.list()
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="nabiyam--v99", messages=ASK)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(model="bare", messages=[{"role": "user", "content": "가나다" * 300}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError, match="tools is not supported"):
        client.chat.completions.create(
            model="bare", messages=ASK, tools=[{"type": "function", "function": {"name": "f"}}]
        )
    with pytest.raises(openai.BadRequestError) as hot:
        client.chat.completions.create(model="bare", messages=ASK, temperature=3)
    assert hot.value.param == "temperature"


def test_nabis_own_judge_client_is_served_as_well(served: Served) -> None:
    server = ChatServer(f"{served.url}/v1", "bare", 60, served.token("chat"))
    assert isinstance(server.ask("1이나 2 가운데 하나만 쓰세요."), str)
    with pytest.raises(ConfigError, match="answered 401"):
        ChatServer(f"{served.url}/v1", "bare", 60).ask("1?")
