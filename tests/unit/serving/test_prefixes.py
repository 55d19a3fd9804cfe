"""What prompts share is read once, and nobody can tell."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from nabi.serving.batching import Abandoned, BatchEngine
from nabi.serving.blocks import BARE
from nabi.serving.decoding import Decoding
from nabi.serving.kv_rows import KvRows, Prefix
from nabi.serving.prefixes import Prefixes
from nabi.serving.prompts import PromptReader
from nabi.serving.residents import Adapter
from nabi.serving.slots import AdapterSlots
from nabi.training.adapter import load_verified
from nabi.training.base_model import LoadedBase, load_base, resolve_base
from nabi.training.progress import no_progress
from nabi.training.tokenise import encode_prompt
from nabi.training.train import train_adapter

WAIT_S = 60
SYSTEM = "짧게 답해요. 모르면 모른다고 해요.\n\n참고 정보:\n- 가게: 봄분식 | 메뉴: "


def _asked(menu: str, question: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": SYSTEM + menu}, {"role": "user", "content": question}]


@dataclass(frozen=True, slots=True)
class _Asking:
    prompt: list[int]
    slot: int = BARE
    tried: Sequence[int] = ()

    @property
    def speaker(self) -> int:
        return self.slot

    @property
    def lasting(self) -> int:
        return len(self.prompt)


@pytest.fixture(scope="module")
def folders(
    trained_adapter: tuple[Any, Any], make_job: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    recipe = {"r": 4, "alpha": 8, "epochs": 1, "dora": True, "target_modules": ("q_proj", "up_proj", "down_proj")}
    other = train_adapter(make_job(tmp_path_factory.mktemp("prefixes"), recipe=recipe), no_progress)
    return [trained_adapter[1].adapter_dir, other.adapter_dir]


def _base(tiny_base_dir: Path) -> LoadedBase:
    return load_base(resolve_base("minute", tiny_base_dir.parent), threads=1)


@pytest.fixture(scope="module")
def base(tiny_base_dir: Path) -> LoadedBase:
    return _base(tiny_base_dir)


@pytest.fixture(scope="module")
def slots(base: LoadedBase, folders: list[Path]) -> AdapterSlots:
    made = AdapterSlots(base.model, 2)
    for slot, folder in enumerate(folders, start=1):
        manifest, tensors = load_verified(folder, base.ref)
        made.write(slot, manifest, tensors, where=folder)
    return made


class _Reading:
    """Reads through one reader, and compares with the model itself on each whole text."""

    def __init__(self, base: LoadedBase, slots: AdapterSlots, max_bytes: int = 2**20) -> None:
        self.prefixes = Prefixes(max_bytes)
        self._base, self._slots = base, slots
        self._rows = KvRows(base.model, 16, 512)
        self._reader = PromptReader(self._rows, slots, self.prefixes)

    def __call__(self, newcomers: list[_Asking]) -> int:
        """How many tokens the model was given for all of them."""
        given = []
        hook = self._base.model.get_input_embeddings().register_forward_hook(
            lambda _module, args, _output: given.append(args[0].numel())
        )
        with torch.inference_mode():
            ordered, logits = self._reader.read(newcomers)
            hook.remove()
            parts = logits.split([max(1, len(one.tried)) for one in ordered])
            assert sorted(map(id, ordered)) == sorted(map(id, newcomers))
            for one, found in zip(ordered, parts, strict=True):
                assert torch.allclose(found, self._whole(one), rtol=1e-6, atol=1e-5)
            self._step(ordered)
        self._rows.cut(0)
        return sum(given)

    def _whole(self, one: _Asking, behind: Sequence[int] = ()) -> torch.Tensor:
        tried = list(behind or one.tried[:-1])
        with self._slots.speaking([one.slot]):
            logits: torch.Tensor = self._base.model(torch.tensor([[*one.prompt, *tried]])).logits[0]
        return logits[len(one.prompt) - 1 :]

    def _step(self, ordered: list[_Asking]) -> None:
        """One more token behind each prompt, wherever what was tried had stood."""
        with self._slots.speaking([one.slot for one in ordered]):
            logits = self._rows.step([5 + place for place in range(len(ordered))])
        for place, one in enumerate(ordered):
            assert torch.allclose(logits[place], self._whole(one, [5 + place])[-1], rtol=1e-6, atol=1e-5)


@pytest.fixture
def reading(base: LoadedBase, slots: AdapterSlots) -> _Reading:
    return _Reading(base, slots)


def _ids(base: LoadedBase, menu: str, question: str) -> list[int]:
    return encode_prompt(base.tokenizer, _asked(menu, question))


def test_prompts_of_several_speakers_that_begin_alike_are_read_once_each(reading: _Reading, base: LoadedBase) -> None:
    prompts = [
        _ids(base, menu, question)
        for menu in ("라면 | 가격: 4,500원", "라면 | 가격: 3,000원", "떡볶이", "김밥")
        for question in ("안녕하세요", "뭐 먹지? " * 5)
    ]
    crowd = [_Asking(prompt, slot) for slot in (1, BARE, 2) for prompt in prompts]
    assert len(crowd) > 16
    first, second = crowd[:12], crowd[12:]
    whole = [sum(len(one.prompt) for one in part) for part in (first, second)]
    assert reading(first) < 0.6 * whole[0]
    once = reading(second)
    assert once < 0.6 * whole[1]
    before = reading.prefixes.num_taken
    assert reading(second) < once
    assert reading.prefixes.num_taken > before


def test_what_is_tried_behind_a_prompt_is_scored_and_not_kept(reading: _Reading, base: LoadedBase) -> None:
    crowd = [
        _Asking(_ids(base, "라면", "안녕하세요"), 1, [7, 8, 9]),
        _Asking(_ids(base, "라면", "뭐 먹지?"), 1, [4]),
        _Asking(_ids(base, "라면", "뭐 먹지?"), 2),
        _Asking(_ids(base, "김밥", "?"), 2, list(range(10, 40))),
    ]
    reading(crowd)


def test_a_prefix_may_end_inside_a_character(reading: _Reading, base: LoadedBase) -> None:
    """Emoji that the tokenizer has no token for begin with the same bytes."""
    one, other = (_ids(base, "🦔" * 4 + end, "?") for end in ("🦔", "🦕"))
    shared = next(place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    assert "�" in base.tokenizer.decode(one[:shared])
    reading([_Asking(one), _Asking(other)])
    assert [len(prefix.tokens) for prefix in reading.prefixes._held.values()] == [shared]
    assert reading([_Asking(other)]) == len(other) - shared


def test_a_prompt_that_another_one_begins_with_keeps_a_token_of_its_own(reading: _Reading, base: LoadedBase) -> None:
    long = _ids(base, "라면", "뭐 먹지? " * 5)
    short = long[: len(long) // 2]
    for crowd in ([short, long], [short, short, long], [long, short], [short]):
        reading([_Asking(prompt) for prompt in crowd])
    assert {len(prefix.tokens) for prefix in reading.prefixes._held.values()} == {len(short) - 1, len(long)}
    assert reading([_Asking(short)]) == 1


def test_no_speaker_is_given_what_another_one_began_with(reading: _Reading, base: LoadedBase) -> None:
    prompt = _ids(base, "라면", "안녕하세요")
    reading([_Asking(prompt, 1), _Asking([*prompt, 5], 1)])
    assert reading([_Asking([*prompt, 6], 2)]) == len(prompt) + 1
    assert reading([_Asking([*prompt, 7], 1)]) < 5
    reading.prefixes.forget(1)
    assert reading([_Asking([*prompt, 8], 1)]) == len(prompt) + 1


def test_the_least_recently_used_prefix_makes_room() -> None:
    def prefix(*tokens: int) -> Prefix:
        return Prefix(tokens, torch.zeros(2, 1, len(tokens), 4), torch.zeros(2, 1, len(tokens), 4))

    prefixes = Prefixes(max_bytes=2 * 2 * 10 * 4 * 4)  # keys and values of ten tokens
    prefixes.keep("a", prefix(1, 2, 3, 4))
    prefixes.keep("b", prefix(1, 2, 3, 4))
    found = prefixes.find("a", [1, 2, 3, 4, 5])
    assert found is not None
    prefixes.keep("a", prefix(1, 2, 3))
    assert len(prefixes) == 2
    assert prefixes.find("b", [1, 2, 3, 4, 5]) is None
    assert prefixes.find("a", [1, 2, 3, 4, 5]) is found
    assert prefixes.find("a", [1, 2, 3, 4]) is not found
    prefixes.keep("a", prefix(*range(11)))
    assert len(prefixes) == 2
    assert prefixes.num_bytes == 2 * 2 * 7 * 4 * 4
    prefixes.forget("a")
    assert (len(prefixes), prefixes.num_bytes) == (0, 0)


@pytest.fixture
def adapters(folders: list[Path]) -> list[Adapter]:
    from nabi.training.adapter import read_manifest

    return [Adapter(f"p{n}--v1", read_manifest(path).weights_sha256, path) for n, path in enumerate(folders)]


@pytest.fixture
def engine(tiny_base_dir: Path) -> Iterator[BatchEngine]:
    made = BatchEngine(_base(tiny_base_dir), num_slots=1, max_rows=4)
    yield made
    made.close()


def _answers(engine: BatchEngine, asked: Sequence[Any], adapter: Adapter | None) -> list[str]:
    """Each told piece by piece, one after the other."""
    texts = []
    for prompt in asked:
        pieces: list[str] = []
        pending = engine.submit(prompt, adapter, Decoding(max_new_tokens=12), told=pieces.append)
        texts.append(pending.answer.result(WAIT_S).text)
        assert "".join(pieces) == texts[-1]
    return texts


def test_the_server_answers_as_without_and_reads_less(
    engine: BatchEngine, tiny_base_dir: Path, adapters: list[Adapter]
) -> None:
    asked = [
        _asked(menu, question) for menu in ("라면", "라면 | 가격: 4,500원") for question in ("안녕", "뭐 먹지?", "?")
    ]
    plain = BatchEngine(_base(tiny_base_dir), num_slots=1, max_rows=4, max_prefix_bytes=0)
    for adapter in (None, adapters[0], adapters[1]):
        before = engine.prefixes.num_taken
        assert _answers(engine, asked, adapter) == _answers(plain, asked, adapter)
        assert engine.prefixes.num_taken > before
    assert len(plain.prefixes) == plain.prefixes.num_taken == 0
    plain.close()


def test_an_adapter_that_makes_room_takes_its_prefixes_with_it(engine: BatchEngine, adapters: list[Adapter]) -> None:
    asked = [_asked("라면", question) for question in ("안녕", "뭐 먹지?")]
    for adapter in (None, *adapters):
        _answers(engine, asked, adapter)
    assert {speaker for speaker, _ in engine.prefixes._held} == {None, adapters[1].name}


def test_what_people_say_is_never_held(engine: BatchEngine) -> None:
    said = "제 전화번호는 공일공 일이삼사예요 " * 3
    asked = [[*_asked("라면", said + end)] for end in ("안녕", "뭐 먹지?", "?")]
    _answers(engine, asked, None)
    _answers(engine, [prompt[1:] for prompt in asked], None)
    [prefix] = engine.prefixes._held.values()
    text = engine.base.tokenizer.decode(prefix.tokens)
    assert SYSTEM in text
    assert "전화" not in text
    assert all("전화" not in engine.base.tokenizer.decode(one) for one in engine.prefixes._latest[None])


def test_an_abandoned_request_leaves_prefixes_and_rows_whole(engine: BatchEngine, tiny_base_dir: Path) -> None:
    asked = [_asked("라면", question) for question in ("안녕", "뭐 먹지?", "?")]
    expected = _answers(engine, asked, None)
    begun = threading.Event()
    pending = engine.submit(asked[0], None, Decoding(max_new_tokens=400), told=lambda _piece: begun.set() or None)
    assert begun.wait(WAIT_S)
    pending.abandon()
    with pytest.raises(Abandoned):
        pending.answer.result(WAIT_S)
    assert _answers(engine, asked, None) == expected


def test_a_reading_that_fails_takes_its_rows_back(engine: BatchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [_asked("라면", question) for question in ("안녕", "뭐 먹지?", "?")]
    with monkeypatch.context() as broken:
        broken.setattr(KvRows, "prefix", lambda *_: (_ for _ in ()).throw(RuntimeError("no memory for that")))
        _answers(engine, asked[:1], None)
        with pytest.raises(RuntimeError, match="no memory"):
            _answers(engine, asked[1:], None)
    assert engine.num_speaking == 0
    plain = [_answers(engine, [prompt], None) for prompt in asked]
    together = [engine.submit(prompt, None, Decoding(max_new_tokens=12)) for prompt in asked]
    assert [[pending.answer.result(WAIT_S).text] for pending in together] == plain
