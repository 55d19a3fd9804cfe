"""What the device decides, on machines of every size. Shapes are those that the models publish."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nabi.errors import OutOfMemory
from nabi.training.base_model import BaseRef
from nabi.training.memory import GIB, BaseShape, memory_needed, read_shape
from nabi.training.plan import Machine, adapters_at_once, plan_training, this_machine
from nabi.training.recipe import Recipe

QWEN_3B = {
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "tie_word_embeddings": True,
}


@pytest.fixture
def qwen(tmp_path: Path) -> BaseRef:
    (tmp_path / "config.json").write_text(json.dumps(QWEN_3B))
    return BaseRef(name="Qwen2.5-3B", source=str(tmp_path), revision="a" * 64)


def _gpu(gib: float) -> Machine:
    return Machine("cuda", "a card", int(gib * GIB), "bfloat16")


def _shape(base: BaseRef) -> BaseShape:
    shape = read_shape(base)
    assert shape is not None
    return shape


def test_the_shape_counts_the_weights_that_the_model_card_tells(qwen: BaseRef) -> None:
    shape = _shape(qwen)
    assert shape.weights == pytest.approx(3.09e9, rel=0.01)  # "3.09B"
    assert shape.linear_weights == pytest.approx(2.77e9, rel=0.01)  # "2.77B non-embedding"


def test_every_part_of_the_estimate_follows_its_cause(qwen: BaseRef) -> None:
    shape, recipe = _shape(qwen), Recipe(r=16, batch_size=4, dropout=0.0)
    plain = memory_needed(shape, recipe, device="cuda")
    assert plain.base == pytest.approx(2 * shape.weights, rel=1e-6)
    assert memory_needed(shape, recipe, device="cuda", four_bit=True).base < 0.36 * plain.base
    assert memory_needed(shape, recipe.model_copy(update={"r": 32}), device="cuda").adapter == 2 * plain.adapter
    assert memory_needed(shape, recipe, device="cuda", rows=1).activations * 4 == plain.activations
    assert memory_needed(shape, recipe.model_copy(update={"recompute": True}), device="cuda").activations < (
        plain.activations / 10
    )
    few = recipe.model_copy(update={"target_modules": ("q_proj", "v_proj")})
    assert memory_needed(shape, few, device="cuda").adapter < plain.adapter / 5
    assert plain.logits < 0.5 * GIB, "logits come in chunks"


def test_a_bad_answer_and_its_better_one_are_two_rows_and_what_was_thought_of_them(qwen: BaseRef) -> None:
    shape, recipe = _shape(qwen), Recipe(batch_size=1)
    plain = memory_needed(shape, recipe, device="cuda")
    taught = memory_needed(shape, recipe, device="cuda", num_bad=30)
    assert taught.activations == 2 * plain.activations
    assert (plain.reference, taught.reference) == (0, 240)
    assert taught.total > plain.total
    four = memory_needed(shape, recipe, device="cuda", rows=4, num_bad=30)
    assert four.activations == 4 * plain.activations, "two pairs at once are no more than four samples"


def test_a_gpu_that_holds_one_row_and_not_two_cannot_learn_from_bad_answers(qwen: BaseRef) -> None:
    recipe = Recipe(batch_size=1, four_bit=True)
    one = memory_needed(_shape(qwen), recipe, device="cuda", four_bit=True).total
    card = _gpu((one + 1) / GIB)
    assert plan_training(qwen, recipe, card).four_bit
    with pytest.raises(OutOfMemory):
        plan_training(qwen, recipe, card, num_bad=1)


def test_as_many_adapters_share_a_batch_as_fit_with_the_base_counted_once(qwen: BaseRef) -> None:
    recipe, shape = Recipe(batch_size=4), _shape(qwen)
    for gib, held in ((40, 2), (139, 8)):
        card = _gpu(gib)
        plan = plan_training(qwen, recipe, card)
        num = adapters_at_once(qwen, recipe, card, plan, rows=4, num_bad=0)
        assert num == pytest.approx(held, abs=1)
        assert memory_needed(shape, recipe, device="cuda", adapters=num).total <= card.free_bytes
        assert memory_needed(shape, recipe, device="cuda", adapters=num + 1).total > card.free_bytes
    single, dozen = (memory_needed(shape, recipe, device="cuda", adapters=num) for num in (1, 12))
    assert (dozen.base, dozen.fixed) == (single.base, single.fixed)
    assert (dozen.adapter, dozen.activations) == (12 * single.adapter, 12 * single.activations)


def test_a_card_too_small_for_a_batch_and_a_cpu_compute_one_adapter_after_another(qwen: BaseRef) -> None:
    recipe = Recipe(batch_size=4)
    for machine in (_gpu(4), Machine("cpu", "the CPU", 640 * GIB, "float32", gflops=50)):
        plan = plan_training(qwen, recipe.model_copy(update={"recompute": True}), machine)
        assert adapters_at_once(qwen, recipe, machine, plan, rows=4, num_bad=0) == 1


def test_a_gpu_with_room_trains_in_bf16_and_a_smaller_one_in_4_bits(qwen: BaseRef) -> None:
    recipe = Recipe(batch_size=2)
    roomy = plan_training(qwen, recipe, _gpu(40))
    assert (roomy.device, roomy.four_bit) == ("cuda", False)
    small = plan_training(qwen, recipe, _gpu(9))
    assert (small.device, small.four_bit) == ("cuda", True)
    assert "in bfloat16 it would need" in small.why


def test_a_recipe_of_4_bits_is_kept_on_a_large_gpu(qwen: BaseRef) -> None:
    plan = plan_training(qwen, Recipe(four_bit=True), _gpu(40))
    assert plan.four_bit
    assert "as the recipe says" in plan.why


def test_a_gpu_too_small_for_4_bits_is_an_error_with_both_figures(qwen: BaseRef) -> None:
    with pytest.raises(OutOfMemory, match=r"needs \d+\.\d GiB .* with one sample at a time, and a card has 2\.0 GiB"):
        plan_training(qwen, Recipe(), _gpu(2))


def test_a_large_base_on_a_cpu_is_warned_of_with_an_estimate(qwen: BaseRef) -> None:
    machine = Machine("cpu", "the CPU", 64 * GIB, "float32", gflops=50)
    plan = plan_training(qwen, Recipe(epochs=3), machine)
    assert plan.warning is not None
    # 4 × 3.09e9 weights × 25,600 tokens × 3 epochs at 50 GFLOP/s
    assert "about 5.3 hours" in plan.warning


def test_tiny_ko_on_a_cpu_needs_no_warning() -> None:
    folder = Path(__file__).resolve().parents[3] / "models" / "tiny-ko"
    plan = plan_training(BaseRef("tiny-ko", str(folder), "b" * 64), Recipe(batch_size=16), this_machine())
    assert plan.warning is None
    assert plan.need is not None
    assert plan.need.total < 4 * GIB


def test_a_small_base_is_trained_in_float32_on_every_cpu(qwen: BaseRef) -> None:
    folder = Path(__file__).resolve().parents[3] / "models" / "tiny-ko"
    machine = Machine("cpu", "a CPU with AMX", 64 * GIB, "bfloat16", gflops=500)
    small = plan_training(BaseRef("tiny-ko", str(folder), "b" * 64), Recipe(), machine)
    assert (small.precision, plan_training(qwen, Recipe(), machine).precision) == ("float32", "bfloat16")
    assert small.why.startswith("float32 on the CPU")


def test_a_base_whose_shape_is_unknown_is_planned_by_the_recipe() -> None:
    plan = plan_training(BaseRef("Some/Hub", "Some/Hub", "c" * 40), Recipe(four_bit=True), _gpu(8))
    assert (plan.four_bit, plan.need) == (True, None)
