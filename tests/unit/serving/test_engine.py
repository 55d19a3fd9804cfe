from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nabi.errors import ModelError
from nabi.serving.engine import Engine
from nabi.serving.kv_rows import KvRows
from nabi.training.base_model import LoadedBase, load_base, resolve_base
from nabi.training.progress import no_progress
from nabi.training.tokenise import encode_answer, encode_prompt
from nabi.training.train import train_adapter

PROMPTS = [
    [{"role": "system", "content": "짧게 답해요."}, {"role": "user", "content": question}]
    for question in ("라면", "떡볶이 먹고 싶어", "안녕하세요! " * 6, "김밥 3,000원", "?")
]


@pytest.fixture(scope="module")
def fresh_base(tiny_base_dir: Path) -> LoadedBase:
    return load_base(resolve_base("minute", tiny_base_dir.parent), threads=1)


@pytest.fixture(scope="module")
def engine(fresh_base: LoadedBase, trained_adapter: tuple[Any, Any]) -> Engine:
    made = Engine(fresh_base)
    made.load("nabiyam--v1", trained_adapter[1].adapter_dir)
    return made


@pytest.fixture(scope="module")
def other_adapter(make_job: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = {"r": 2, "alpha": 8, "target_modules": ("q_proj", "v_proj")}
    job = make_job(tmp_path_factory.mktemp("other"), recipe=recipe)
    return train_adapter(job, no_progress).adapter_dir


def _reference(base: LoadedBase, model: Any, prompt: list[dict[str, str]], num: int) -> list[int]:
    """Greedy decoding by hand: the whole text again for each token, no cache, no batch."""
    ids = encode_prompt(base.tokenizer, prompt)
    start = len(ids)
    with torch.inference_mode():
        while len(ids) - start < num:
            token = int(model(torch.tensor([ids])).logits[0, -1].argmax())
            if token == base.tokenizer.eos_token_id:
                break
            ids.append(token)
    return ids[start:]


def test_a_batch_gives_each_prompt_its_own_greedy_answer_in_order(engine: Engine, tiny_base: LoadedBase) -> None:
    answers = engine.generate(PROMPTS, None, max_new_tokens=12, batch_size=2)
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        expected = tiny_base.tokenizer.decode(
            _reference(tiny_base, tiny_base.model, prompt, 12), skip_special_tokens=True
        )
        assert answer.text == expected.strip()


def test_a_single_prompt_is_answered_as_transformers_itself_does(
    engine: Engine, trained_adapter: tuple[Any, Any], tiny_base_dir: Path
) -> None:
    from peft import PeftModel

    base = load_base(resolve_base("minute", tiny_base_dir.parent), threads=1)
    model = PeftModel.from_pretrained(base.model, trained_adapter[1].adapter_dir)
    for prompt in PROMPTS:
        ids = torch.tensor([encode_prompt(base.tokenizer, prompt)])
        output = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, pad_token_id=0
        )
        expected = base.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True).strip()
        assert engine.generate([prompt], "nabiyam--v1", max_new_tokens=12)[0].text == expected


def test_the_adapter_changes_the_answer_and_none_is_the_bare_base(engine: Engine, tiny_base: LoadedBase) -> None:
    bare = [answer.text for answer in Engine(tiny_base).generate(PROMPTS, None, max_new_tokens=12)]
    adapted = [answer.text for answer in engine.generate(PROMPTS, "nabiyam--v1", max_new_tokens=12)]
    assert adapted != bare
    assert [answer.text for answer in engine.generate(PROMPTS, None, max_new_tokens=12)] == bare


def test_two_adapters_do_not_touch_each_other(engine: Engine, other_adapter: Path) -> None:
    before = [answer.text for answer in engine.generate(PROMPTS, "nabiyam--v1", max_new_tokens=12)]
    engine.load("other--v1", other_adapter)
    other = engine.answer_logprobs(PROMPTS, ["네"] * len(PROMPTS), "other--v1")
    assert [answer.text for answer in engine.generate(PROMPTS, "nabiyam--v1", max_new_tokens=12)] == before
    assert other != engine.answer_logprobs(PROMPTS, ["네"] * len(PROMPTS), "nabiyam--v1")
    engine.unload("other--v1")
    assert [answer.text for answer in engine.generate(PROMPTS, "nabiyam--v1", max_new_tokens=12)] == before


def test_an_answer_cut_short_says_so(engine: Engine) -> None:
    cut = engine.generate([PROMPTS[1]], None, max_new_tokens=2)[0]
    assert not cut.finished
    assert cut.num_tokens == 2
    assert cut.seconds > 0


def test_an_answer_stops_at_the_end_of_turn(tiny_base_dir: Path) -> None:
    """With an output layer that always prefers the end token, the answer is empty and finished."""
    base = load_base(resolve_base("minute", tiny_base_dir.parent), threads=1)
    end = base.tokenizer.convert_tokens_to_ids("<|im_end|>")
    head = torch.nn.Linear(64, len(base.tokenizer))
    torch.nn.init.zeros_(head.weight)
    head.bias.data.zero_()[end] = 1.0
    base.model.set_output_embeddings(head)
    answer = Engine(base).generate([PROMPTS[0]], None, max_new_tokens=5)[0]
    assert (answer.text, answer.num_tokens, answer.finished) == ("", 1, True)


def test_logprobs_are_those_of_the_model_over_answer_and_end_token(engine: Engine, tiny_base: LoadedBase) -> None:
    answers = ["라면 어때요? 😊", "네", "모르겠어요."]
    found = engine.answer_logprobs(PROMPTS[:3], answers, None, batch_size=2)
    for prompt, answer, likelihood in zip(PROMPTS, answers, found, strict=False):
        ids, labels = encode_answer(
            tiny_base.tokenizer, [*prompt, {"role": "assistant", "content": answer}], last_only=True
        )
        with torch.inference_mode():
            logprobs = tiny_base.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        places = [place for place, label in enumerate(labels) if label >= 0]
        expected = sum(float(logprobs[place - 1, ids[place]]) for place in places)
        assert ids[places[-1]] == tiny_base.tokenizer.eos_token_id
        assert likelihood.num_tokens == len(places)
        assert math.isclose(likelihood.logprob, expected, rel_tol=1e-4)


def test_answering_and_judging_at_once_gives_what_each_gives_alone(engine: Engine) -> None:
    answers = ["라면 어때요? 😊", "네", "모르겠어요. " * 9, "", "김밥 3,000원이에요!"]
    for batch_size in (1, 2, 5):
        said, judged = engine.answer_and_judge(
            PROMPTS, answers, "nabiyam--v1", max_new_tokens=12, batch_size=batch_size
        )
        alone = [engine.generate([prompt], "nabiyam--v1", max_new_tokens=12)[0] for prompt in PROMPTS]
        assert [(answer.text, answer.num_tokens) for answer in said] == [(one.text, one.num_tokens) for one in alone]
        expected = [
            engine.answer_logprobs([prompt], [answer], "nabiyam--v1")[0]
            for prompt, answer in zip(PROMPTS, answers, strict=True)
        ]
        assert [found.num_tokens for found in judged] == [one.num_tokens for one in expected]
        assert [found.logprob for found in judged] == pytest.approx([one.logprob for one in expected], rel=1e-5)


def test_what_judging_has_told_is_not_asked_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the given answer is what the adapter says, up to its end or up to some token, no step goes over that."""
    steps: list[int] = []
    step = KvRows.step
    monkeypatch.setattr(KvRows, "step", lambda rows, tokens: (steps.append(len(tokens)), step(rows, tokens))[1])
    expected = engine.generate(PROMPTS, "nabiyam--v1", max_new_tokens=12)
    plain = sum(steps)
    for given, saves in (([answer.text for answer in expected], True), (["?"] * 5, False)):
        steps.clear()
        said, _ = engine.answer_and_judge(PROMPTS, given, "nabiyam--v1", max_new_tokens=12)
        assert [(one.text, one.num_tokens) for one in said] == [(one.text, one.num_tokens) for one in expected]
        assert (sum(steps) < plain) == saves


def test_a_template_that_opens_answers_in_two_ways_is_judged_and_answered_apart(
    tiny_base_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = load_base(resolve_base("minute", tiny_base_dir.parent), threads=1)
    plain = Engine(base).answer_logprobs(PROMPTS, ["네"] * 5, None)
    opening = base.tokenizer.chat_template.replace("<|im_start|>assistant\\n' -}}", "<|im_start|>assistant\\n음, ' -}}")
    assert opening != base.tokenizer.chat_template
    monkeypatch.setattr(base.tokenizer, "chat_template", opening)
    engine = Engine(base)
    said, judged = engine.answer_and_judge(PROMPTS, ["네"] * 5, None, max_new_tokens=6)
    assert [answer.text for answer in said] == [
        answer.text for answer in engine.generate(PROMPTS, None, max_new_tokens=6)
    ]
    assert [item.logprob for item in judged] == pytest.approx([item.logprob for item in plain], rel=1e-6)


def test_scores_that_do_not_fit_at_once_are_made_in_parts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = ["라면 어때요? 😊", "네", "모르겠어요. " * 9, "", "김밥 3,000원이에요!"]
    whole = engine.answer_logprobs(PROMPTS, answers, None)
    monkeypatch.setattr("nabi.training.loss.MAX_LOGITS", 1)
    parts = engine.answer_logprobs(PROMPTS, answers, None)
    assert [item.logprob for item in parts] == pytest.approx([item.logprob for item in whole], rel=1e-5)


def test_more_adapters_than_slots_get_slots_of_their_own(
    tiny_base_dir: Path, trained_adapter: tuple[Any, Any], other_adapter: Path
) -> None:
    engine = Engine(load_base(resolve_base("minute", tiny_base_dir.parent), threads=1))
    folders = {"a--v1": trained_adapter[1].adapter_dir, "b--v1": other_adapter, "c--v1": other_adapter}
    for name, folder in folders.items():
        engine.load(name, folder)
    told = {name: engine.answer_logprobs(PROMPTS, ["네"] * 5, name) for name in folders}
    assert told["b--v1"] == told["c--v1"] != told["a--v1"]
    engine.unload("a--v1")
    engine.load("d--v1", other_adapter)
    assert engine.answer_logprobs(PROMPTS, ["네"] * 5, "d--v1") == told["b--v1"]


def test_an_adapter_that_is_swapped_in_again_answers_as_before_and_not_if_its_folder_changed(
    engine: Engine, trained_adapter: tuple[Any, Any], other_adapter: Path, tmp_path: Path
) -> None:
    before = engine.answer_logprobs(PROMPTS, ["네"] * 5, "nabiyam--v1")
    engine.swap_in("nabiyam--v1")
    assert engine.answer_logprobs(PROMPTS, ["네"] * 5, "nabiyam--v1") == before
    folder = tmp_path / "moving"
    shutil.copytree(trained_adapter[1].adapter_dir, folder)
    engine.load("moving--v1", folder)
    shutil.rmtree(folder)
    shutil.copytree(other_adapter, folder)
    with pytest.raises(ModelError, match="another adapter is loaded as 'moving--v1'"):
        engine.swap_in("moving--v1")
    engine.unload("moving--v1")


def test_training_made_its_answers_more_likely(engine: Engine, trained_adapter: tuple[Any, Any]) -> None:
    from nabi.datasets.samples import chat_messages
    from nabi.training.train import read_samples

    job, _ = trained_adapter
    samples = read_samples(job.train_file)
    prompts = [chat_messages(job.system_prompt, sample.messages[:-1], sample.facts) for sample in samples]
    answers = [sample.answer for sample in samples]
    before = engine.answer_logprobs(prompts, answers, None)
    after = engine.answer_logprobs(prompts, answers, "nabiyam--v1")
    assert sum(item.logprob for item in after) > sum(item.logprob for item in before)


def test_no_prompts_give_no_answers(engine: Engine) -> None:
    assert engine.generate([], None) == []
    assert engine.answer_logprobs([], [], None) == []


def test_loading_the_same_adapter_again_is_free_and_another_under_its_name_refused(
    engine: Engine, trained_adapter: tuple[Any, Any], other_adapter: Path
) -> None:
    engine.load("nabiyam--v1", trained_adapter[1].adapter_dir)
    with pytest.raises(ModelError, match="another adapter is loaded as 'nabiyam--v1'"):
        engine.load("nabiyam--v1", other_adapter)
    assert engine.adapters == {"nabiyam--v1": trained_adapter[1].digest}


def test_a_damaged_adapter_is_never_loaded(engine: Engine, trained_adapter: tuple[Any, Any], tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(trained_adapter[1].adapter_dir, folder)
    weights = folder / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match="changed after the training"):
        engine.load("damaged--v1", folder)
    assert "damaged--v1" not in engine.adapters


def test_an_unknown_adapter_is_named_with_what_is_loaded(engine: Engine) -> None:
    with pytest.raises(ModelError, match=r"no adapter 'x' is loaded.*nabiyam--v1"):
        engine.generate(PROMPTS, "x")


def test_a_prompt_beyond_the_context_is_refused(engine: Engine) -> None:
    long = [{"role": "user", "content": "가나다라마바사" * 100}]
    with pytest.raises(ModelError, match="exceed the 512"):
        engine.generate([long], None)
