from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from penalties import Penalties

from nabi.errors import ConfigError, ModelError
from nabi.serving.batching import Abandoned, BatchEngine, QueueFull
from nabi.serving.decoding import Decoding
from nabi.serving.engine import Engine
from nabi.serving.residents import Adapter
from nabi.training.base_model import LoadedBase, load_base, resolve_base
from nabi.training.progress import no_progress
from nabi.training.template import end_ids
from nabi.training.tokenise import encode_prompt
from nabi.training.train import train_adapter

QUESTIONS = (
    "라면",
    "떡볶이 먹고 싶어",
    "안녕하세요! " * 9,
    "김밥 3,000원",
    "?",
    "참고 정보",
    "모르겠어요",
    "가나다 " * 12,
)
PROMPTS = [
    [{"role": "system", "content": "짧게 답해요."}, {"role": "user", "content": question}] for question in QUESTIONS
]
WAIT_S = 60


def _fresh(tiny_base_dir: Path) -> LoadedBase:
    return load_base(resolve_base("minute", tiny_base_dir.parent), threads=1)


@pytest.fixture(scope="module")
def adapters(
    trained_adapter: tuple[Any, Any], make_job: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> list[Adapter]:
    recipe = {"r": 2, "alpha": 8, "target_modules": ("q_proj", "v_proj")}
    other = train_adapter(make_job(tmp_path_factory.mktemp("other"), recipe=recipe), no_progress)
    results = [trained_adapter[1], other]
    return [Adapter(f"p{n}--v1", result.digest, result.adapter_dir) for n, result in enumerate(results)]


@pytest.fixture
def engine(tiny_base_dir: Path) -> Iterator[BatchEngine]:
    made = BatchEngine(_fresh(tiny_base_dir), num_slots=2, max_rows=3)
    yield made
    made.close()


def _say(engine: BatchEngine, question: int, adapter: Adapter | None = None, **decoding: Any) -> str:
    settings = Decoding(**{"max_new_tokens": 24, **decoding})
    return engine.submit(PROMPTS[question], adapter, settings).answer.result(WAIT_S).text


def test_a_mixed_crowd_gets_the_answers_that_each_would_get_alone(
    engine: BatchEngine, adapters: list[Adapter], tiny_base_dir: Path
) -> None:
    """Eight requests of three speakers through three rows, so that they join and leave in the middle of others."""
    alone = Engine(_fresh(tiny_base_dir))
    for adapter in adapters:
        alone.load(adapter.name, adapter.folder)
    speakers = [None, *adapters]
    lengths = [3, 24, 9, 17, 1, 30, 12, 5]
    asked = [
        engine.submit(prompt, speakers[place % 3], Decoding(max_new_tokens=length))
        for place, (prompt, length) in enumerate(zip(PROMPTS, lengths, strict=True))
    ]
    for place, pending in enumerate(asked):
        speaker = speakers[place % 3]
        expected = alone.generate([PROMPTS[place]], speaker.name if speaker else None, max_new_tokens=lengths[place])[0]
        answer = pending.answer.result(WAIT_S)
        assert (answer.text, answer.num_tokens) == (expected.text, expected.num_tokens)
        assert (answer.ended == "stop") == expected.finished
        assert 0 <= answer.seconds_waiting <= answer.seconds_to_first <= answer.seconds
    assert engine.num_speaking == engine.num_waiting == 0


def test_its_thread_computes_with_as_many_as_its_own_base_was_loaded_for(tiny_base_dir: Path) -> None:
    base, seen = _fresh(tiny_base_dir), set()
    base.model.get_input_embeddings().register_forward_pre_hook(lambda *_: seen.add(torch.get_num_threads()))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)  # as another base would, loaded after this one
        engine = BatchEngine(base, num_slots=1, max_rows=1)
        _say(engine, 0)
        engine.close()
    finally:
        torch.set_num_threads(before)
    assert seen == {1}


def test_rows_grow_beyond_their_first_length(engine: BatchEngine, tiny_base_dir: Path) -> None:
    long = [{"role": "user", "content": "떡볶이 " * 120}]
    expected = Engine(_fresh(tiny_base_dir)).generate([long], None, max_new_tokens=150)[0]
    others = [engine.submit(PROMPTS[1], None, Decoding(max_new_tokens=60)) for _ in range(2)]
    answer = engine.submit(long, None, Decoding(max_new_tokens=150)).answer.result(WAIT_S)
    assert answer.num_prompt_tokens + answer.num_tokens > 256
    assert answer.text == expected.text
    assert others[0].answer.result(WAIT_S).text == others[1].answer.result(WAIT_S).text


def test_pieces_add_up_to_the_answer(engine: BatchEngine, adapters: list[Adapter]) -> None:
    pieces: list[str] = []
    pending = engine.submit(PROMPTS[0], adapters[0], Decoding(max_new_tokens=24), told=pieces.append)
    assert pending.answer.result(WAIT_S).text == "".join(pieces)
    assert len(pieces) > 1


def test_a_stop_ends_the_answer_before_itself(engine: BatchEngine) -> None:
    whole = _say(engine, 1)
    stop = whole[len(whole) // 2 : len(whole) // 2 + 2]
    pieces: list[str] = []
    pending = engine.submit(PROMPTS[1], None, Decoding(max_new_tokens=24, stops=(stop,)), told=pieces.append)
    answer = pending.answer.result(WAIT_S)
    assert answer.text == whole[: whole.index(stop)].strip() == "".join(pieces)
    assert answer.ended == "stop"


def test_a_seed_draws_the_same_answer_again_in_any_company(engine: BatchEngine) -> None:
    first = _say(engine, 0, temperature=1.0, top_p=0.9, seed=5)
    crowd = [engine.submit(PROMPTS[2], None, Decoding(max_new_tokens=40, temperature=1.0)) for _ in range(2)]
    assert _say(engine, 0, temperature=1.0, top_p=0.9, seed=5) == first
    assert {_say(engine, 0, temperature=1.0, seed=seed) for seed in range(4)} != {first}
    for pending in crowd:
        pending.answer.result(WAIT_S)


def test_a_tiny_share_of_the_likeliest_is_greedy(engine: BatchEngine) -> None:
    assert _say(engine, 0, temperature=2.0, top_p=1e-9) == _say(engine, 0)


@pytest.mark.parametrize(("frequency", "presence"), [(1.5, 0.0), (0.0, 2.0), (0.7, -0.3)])
def test_penalties_are_what_openai_says_and_touch_nobody_else(
    engine: BatchEngine, tiny_base_dir: Path, frequency: float, presence: float
) -> None:
    base = _fresh(tiny_base_dir)
    prompt = torch.tensor([encode_prompt(base.tokenizer, PROMPTS[2])])  # it repeats itself, and that does not count
    said = base.model.generate(
        input_ids=prompt,
        max_new_tokens=24,
        do_sample=False,
        eos_token_id=list(end_ids(base.tokenizer)),
        logits_processor=[Penalties(prompt.shape[1], frequency=frequency, presence=presence)],
    )
    expected = base.tokenizer.decode(said[0, prompt.shape[1] :], skip_special_tokens=True).strip()
    plain = _say(engine, 2)
    beside = engine.submit(PROMPTS[2], None, Decoding(max_new_tokens=24))
    assert _say(engine, 2, frequency_penalty=frequency, presence_penalty=presence) == expected != plain
    assert beside.answer.result(WAIT_S).text == plain


def test_a_penalty_counts_what_is_drawn(engine: BatchEngine) -> None:
    drawn = [_say(engine, 0, temperature=0.8, seed=3, frequency_penalty=penalty) for penalty in (2.0, 2.0, 0.0)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_new_tokens": 0},
        {"temperature": -1},
        {"temperature": float("nan")},
        {"top_p": 0},
        {"stops": ("",)},
        {"frequency_penalty": 2.1},
        {"presence_penalty": float("nan")},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Decoding(**wrong)


def test_one_more_than_the_queue_holds_is_refused(tiny_base_dir: Path) -> None:
    engine = BatchEngine(_fresh(tiny_base_dir), num_slots=1, max_rows=1, max_waiting=2)
    go_on = threading.Event()
    held = engine.submit(PROMPTS[0], None, Decoding(max_new_tokens=30), told=lambda _piece: go_on.wait(WAIT_S) or None)
    while not engine.num_speaking:
        pass
    waiting = [engine.submit(PROMPTS[1], None, Decoding(max_new_tokens=2)) for _ in range(2)]
    with pytest.raises(QueueFull, match="2 requests wait already"):
        engine.submit(PROMPTS[1], None, Decoding())
    go_on.set()
    for pending in [held, *waiting]:
        pending.answer.result(WAIT_S)
    assert _say(engine, 1)
    engine.close()


def test_an_abandoned_request_leaves_the_batch_and_its_adapter(engine: BatchEngine, adapters: list[Adapter]) -> None:
    begun = threading.Event()
    pending = engine.submit(
        PROMPTS[0], adapters[0], Decoding(max_new_tokens=400), told=lambda _piece: begun.set() or None
    )
    assert begun.wait(WAIT_S)
    pending.abandon()
    with pytest.raises(Abandoned):
        pending.answer.result(WAIT_S)
    assert engine.num_speaking == 0


def test_an_adapter_waits_while_every_slot_speaks(tiny_base_dir: Path, adapters: list[Adapter]) -> None:
    engine = BatchEngine(_fresh(tiny_base_dir), num_slots=1, max_rows=4)
    asked = [engine.submit(PROMPTS[n % 4], adapters[n % 2], Decoding(max_new_tokens=12)) for n in range(6)]
    texts = [pending.answer.result(WAIT_S).text for pending in asked]
    assert [_say(engine, n % 4, adapters[n % 2], max_new_tokens=12) for n in range(6)] == texts
    engine.close()


def test_a_damaged_adapter_fails_its_own_request_only(engine: BatchEngine, adapters: list[Adapter]) -> None:
    running = engine.submit(PROMPTS[1], adapters[0], Decoding(max_new_tokens=24))
    with pytest.raises(ModelError, match="was registered with digest"):
        engine.submit(PROMPTS[1], Adapter("p5--v1", "0" * 64, adapters[1].folder), Decoding())
    assert running.answer.result(WAIT_S).text == _say(engine, 1, adapters[0])


def test_a_preloaded_adapter_is_there_before_anybody_asks(engine: BatchEngine, adapters: list[Adapter]) -> None:
    engine.preload(adapters[0])
    assert engine.residents.digests == {"p0--v1": adapters[0].digest}
    engine.preload(adapters[0])
    assert engine.residents.num_loaded == 1


def test_a_failing_step_is_told_to_those_concerned_and_the_next_request_is_answered(engine: BatchEngine) -> None:
    def broken(_piece: str) -> None:
        raise RuntimeError("the asker's own failure")

    pending = engine.submit(PROMPTS[0], None, Decoding(max_new_tokens=24), told=broken)
    with pytest.raises(RuntimeError, match="own failure"):
        pending.answer.result(WAIT_S)
    assert engine.num_speaking == 0
    assert _say(engine, 0)


def test_an_adapter_that_cannot_be_put_into_its_slot_stops_nobody_else(
    engine: BatchEngine, adapters: list[Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_arguments: Any, **_options: Any) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(engine._slots, "write", no_memory)
        with pytest.raises(RuntimeError, match="out of memory"):
            _say(engine, 1, adapters[0])
        with pytest.raises(RuntimeError, match="out of memory"):
            engine.preload(adapters[0])
        assert _say(engine, 1)
    assert _say(engine, 1, adapters[0])


def test_closing_tells_who_waits(tiny_base_dir: Path) -> None:
    engine = BatchEngine(_fresh(tiny_base_dir), num_slots=1, max_rows=1)
    asked = [engine.submit(PROMPTS[0], None, Decoding(max_new_tokens=300)) for _ in range(3)]
    engine.close()
    with pytest.raises(Abandoned):
        asked[-1].answer.result(WAIT_S)
    with pytest.raises(Abandoned):
        engine.submit(PROMPTS[0], None, Decoding())


def test_a_prompt_beyond_the_context_is_refused(engine: BatchEngine) -> None:
    with pytest.raises(ModelError, match="exceed the 512"):
        engine.submit([{"role": "user", "content": "가나다라마바사" * 100}], None, Decoding())
