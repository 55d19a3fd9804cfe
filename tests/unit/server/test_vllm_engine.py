"""vLLM as the engine, against a fake of ours that speaks its protocol: no real vLLM was there to be asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from fake_vllm import KEY, FakeVllm, running
from served_home import make_home, put_live, serving

from nabi.conversations.records import Message
from nabi.datasets.samples import chat_messages
from nabi.errors import ModelError, TransientError
from nabi.integrations.vllm import VllmClient
from nabi.serving.batching import Abandoned, PromptTooLong, QueueFull
from nabi.serving.decoding import Decoding
from nabi.serving.engine import Engine
from nabi.serving.residents import Adapter
from nabi.serving.vllm_engine import VllmEngine
from nabi.training.base_model import load_base, resolve_base

ASK = [{"role": "user", "content": "라면 먹고 싶어"}]
PROMPT = chat_messages("짧게 답해요.", [Message(role="user", content="라면 먹고 싶어")], None)
WAIT_S = 60


@pytest.fixture
def fake(tiny_base_dir: Path) -> FakeVllm:
    return FakeVllm(load_base(resolve_base("minute", tiny_base_dir.parent), threads=1))


@pytest.fixture
def adapters(trained_adapter: tuple[Any, Any], other_adapter: Any, tmp_path: Path) -> list[Adapter]:
    made = []
    for number, result in enumerate((trained_adapter[1], other_adapter)):
        folder = tmp_path / f"p{number}--v1"
        folder.symlink_to(result.adapter_dir)
        made.append(Adapter(folder.name, result.digest, folder))
    return made


@pytest.fixture
def engine(fake: FakeVllm, tiny_base_dir: Path) -> Iterator[VllmEngine]:
    with running(fake) as url:
        made = VllmEngine(resolve_base("minute", tiny_base_dir.parent), VllmClient(url, KEY), num_slots=1, max_rows=2)
        yield made
        made.close()


@pytest.fixture
def expected(tiny_base_dir: Path, adapters: list[Adapter]) -> dict[str | None, str]:
    """What each speaker answers in this process."""
    alone = Engine(load_base(resolve_base("minute", tiny_base_dir.parent), threads=1))
    for adapter in adapters:
        alone.load(adapter.name, adapter.folder)
    speakers = [None, *(adapter.name for adapter in adapters)]
    said = {speaker: alone.generate([PROMPT], speaker, max_new_tokens=24)[0].text for speaker in speakers}
    assert len(set(said.values())) == 3
    return said


def _say(engine: VllmEngine, adapter: Adapter | None, **decoding: Any) -> str:
    return engine.submit(PROMPT, adapter, Decoding(**{"max_new_tokens": 24, **decoding})).answer.result(WAIT_S).text


def test_the_server_answers_over_vllm_as_it_does_itself(
    tmp_path: Path, tiny_base_dir: Path, fake: FakeVllm, trained_adapter: tuple[Any, Any], other_adapter: Any
) -> None:
    said: dict[str, list[Any]] = {}
    for place in ("here", "vllm"):
        with running(fake) as address:
            elsewhere = {"vllm_url": address, "vllm_api_key": KEY} if place == "vllm" else {}
            platform = make_home(tmp_path / place, tiny_base_dir.parent, **elsewhere)
            put_live(platform, "nabiyam--v1", trained_adapter[1].adapter_dir, trained_adapter[1].digest)
            put_live(platform, "mari--v1", other_adapter.adapter_dir, other_adapter.digest)
            with serving(platform) as url:
                token = (platform.settings.state / "secrets" / "chat.token").read_text()
                client = openai.OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0)
                said[place] = [
                    (answer.model, answer.choices[0].message.content, answer.choices[0].finish_reason, answer.usage)
                    for answer in (
                        client.chat.completions.create(model=model, messages=ASK, max_tokens=20, stop=["?"])
                        for model in ("nabiyam", "mari", "bare")
                    )
                ]
                penalised = client.chat.completions.create(
                    model="bare", messages=ASK, max_tokens=20, frequency_penalty=1.5, presence_penalty=0.5
                )
                said[place].append(penalised.choices[0].message.content)
                chunks = list(client.chat.completions.create(model="mari", messages=ASK, max_tokens=20, stream=True))
                said[place].append("".join(chunk.choices[0].delta.content or "" for chunk in chunks))
    assert said["vllm"] == said["here"]
    assert len({answer[1] for answer in said["vllm"][:3]}) == 3
    names = {f"nabiyam--v1--{trained_adapter[1].digest[:12]}", f"mari--v1--{other_adapter.digest[:12]}"}
    assert set(fake.loaded) == names


def test_pieces_add_up_and_usage_is_vllms(
    engine: VllmEngine, adapters: list[Adapter], expected: dict[str | None, str]
) -> None:
    pieces: list[str] = []
    answer = engine.submit(PROMPT, adapters[0], Decoding(max_new_tokens=24), told=pieces.append).answer.result(WAIT_S)
    assert answer.text == "".join(pieces) == expected["p0--v1"]
    assert len(pieces) > 1
    assert answer.num_tokens == 24
    assert 0 <= answer.seconds_waiting <= answer.seconds_to_first <= answer.seconds


def test_one_that_makes_room_is_unloaded_and_none_that_speaks(
    engine: VllmEngine, fake: FakeVllm, adapters: list[Adapter], expected: dict[str | None, str]
) -> None:
    names = [f"{adapter.name}--{adapter.digest[:12]}" for adapter in adapters]
    asked = [engine.submit(PROMPT, adapters[number % 2], Decoding(max_new_tokens=24)) for number in range(6)]
    for number, one in enumerate(asked):
        assert one.answer.result(WAIT_S).text == expected[adapters[number % 2].name]
    assert _say(engine, None) == expected[None]
    assert len(fake.loaded) == 1  # one slot here
    for event, name in fake.log:
        assert event in {"load", "unload"}
        assert name in names
    assert all(before != after for before, after in zip(fake.log, fake.log[1:], strict=False))


def test_a_vllm_that_started_again_gets_its_adapters_back(
    engine: VllmEngine, fake: FakeVllm, adapters: list[Adapter], expected: dict[str | None, str]
) -> None:
    engine.preload(adapters[0])
    fake.restart()
    assert _say(engine, adapters[0]) == expected["p0--v1"]
    assert [event for event, _ in fake.log] == ["load", "load"]


def test_what_another_server_loaded_already_is_used(
    engine: VllmEngine, fake: FakeVllm, adapters: list[Adapter], expected: dict[str | None, str]
) -> None:
    VllmClient(str(engine._client._http.base_url), KEY).load(
        f"p0--v1--{adapters[0].digest[:12]}", str(adapters[0].folder.resolve())
    )
    assert _say(engine, adapters[0]) == expected["p0--v1"]


def test_what_vllm_cannot_load_is_told(engine: VllmEngine, fake: FakeVllm, adapters: list[Adapter]) -> None:
    fake._free.clear()
    with pytest.raises(ModelError, match="No free lora slots"):
        engine.preload(adapters[0])
    with pytest.raises(ModelError, match="was registered with digest"):
        engine.preload(Adapter("p1--v1", "0" * 64, adapters[1].folder))
    assert _say(engine, None)


def test_an_answer_that_breaks_off_fails_and_the_next_one_is_given(engine: VllmEngine, fake: FakeVllm) -> None:
    fake.breaks_off_after = 3
    with pytest.raises(TransientError, match="the engine died"):
        _say(engine, None)
    fake.breaks_off_after = None
    assert _say(engine, None)


def test_decoding_reaches_vllm(engine: VllmEngine, fake: FakeVllm) -> None:
    _say(engine, None, temperature=0.5, top_p=0.9, seed=-1, stops=("끝",), frequency_penalty=0.5, presence_penalty=-1.0)
    body = fake.bodies[-1]
    assert (body["frequency_penalty"], body["presence_penalty"]) == (0.5, -1.0)
    assert (body["temperature"], body["top_p"], body["stop"], body["seed"]) == (0.5, 0.9, ["끝"], 2**63 - 1)
    assert "seed" not in (_say(engine, None) and fake.bodies[-1])


def test_limits_are_those_of_the_other_engine(engine: VllmEngine) -> None:
    with pytest.raises(PromptTooLong, match="exceed the 512"):
        engine.submit([{"role": "user", "content": "가나다라마바사" * 100}], None, Decoding())
    engine._max_waiting = 0
    go_on = threading.Event()
    held = [
        engine.submit(PROMPT, None, Decoding(max_new_tokens=8), told=lambda _piece: go_on.wait(WAIT_S) or None)
        for _ in range(2)
    ]
    with pytest.raises(QueueFull):
        engine.submit(PROMPT, None, Decoding())
    held[0].abandon()
    go_on.set()
    with pytest.raises(Abandoned):
        held[0].answer.result(WAIT_S)
    assert held[1].answer.result(WAIT_S).num_tokens == 8


def test_a_vllm_that_is_away_or_locked_is_named(tiny_base_dir: Path, fake: FakeVllm) -> None:
    ref = resolve_base("minute", tiny_base_dir.parent)
    with pytest.raises(TransientError, match="vLLM cannot be reached"):
        VllmEngine(ref, VllmClient("http://127.0.0.1:9"))
    with running(fake) as url, pytest.raises(ModelError, match="refused \\(401\\)"):
        VllmEngine(ref, VllmClient(url, "wrong"))
