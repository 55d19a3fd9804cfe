from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from nabi.errors import ModelError
from nabi.personas.model import RecipeChoice
from nabi.training.base_model import BaseRef
from nabi.training.recipe import PRESETS, Recipe, lora_config, resolve_recipe, training_arguments

REAL = BaseRef(name="Qwen/Qwen2.5-3B-Instruct", source="Qwen/Qwen2.5-3B-Instruct", revision="a" * 40)
TINY = BaseRef(name="tiny-ko", source="models/tiny-ko", revision="b" * 64, recipe={"learning_rate": 5e-3, "epochs": 10})


def test_a_real_base_is_trained_with_the_defaults_of_requirement_a3() -> None:
    recipe = resolve_recipe(RecipeChoice(), REAL)
    assert (recipe.r, recipe.alpha, recipe.dropout, recipe.learning_rate) == (16, 32, 0.1, 1e-4)


def test_presets_are_those_of_requirement_b4() -> None:
    assert PRESETS["low-memory"] == {"batch_size": 2, "epochs": 1, "r": 8}
    assert PRESETS["balanced"] == {"batch_size": 4, "epochs": 3, "r": 16}
    assert PRESETS["high-quality"] == {"batch_size": 8, "epochs": 5, "r": 32}


def test_the_persona_wins_over_the_preset_and_the_base_over_both() -> None:
    choice = RecipeChoice(preset="high-quality", learning_rate=2e-4, epochs=2, r=8, target_modules=("q_proj",))
    recipe = resolve_recipe(choice, TINY)
    assert (recipe.batch_size, recipe.r, recipe.target_modules) == (8, 8, ("q_proj",))
    assert (recipe.learning_rate, recipe.epochs) == (5e-3, 10)


def test_a_preset_given_for_one_run_replaces_the_personas() -> None:
    assert resolve_recipe(RecipeChoice(preset="high-quality"), REAL, "low-memory").batch_size == 2


def test_every_value_tells_where_it_came_from() -> None:
    recipe = resolve_recipe(RecipeChoice(r=8), TINY)
    assert recipe.origins["r"] == "persona"
    assert recipe.origins["batch_size"] == "preset balanced"
    assert recipe.origins["learning_rate"] == "base tiny-ko"
    assert recipe.origins["dropout"] == "default"
    assert set(recipe.origins) == set(Recipe.model_fields) - {"origins"}


@pytest.mark.parametrize("wrong", [{"learnig_rate": 5e-3}, {"epochs": 0}, {"alpha": 1e9}])
def test_a_wrong_recipe_of_a_base_names_the_file_and_the_value(wrong: dict[str, float]) -> None:
    base = BaseRef(name="odd", source="models/odd", revision="c", recipe=wrong)
    with pytest.raises(ModelError, match=r"models/odd/recipe.json") as caught:
        resolve_recipe(RecipeChoice(), base)
    assert next(iter(wrong)) in str(caught.value)


def test_an_alpha_that_drowns_the_base_is_refused_before_the_training() -> None:
    with pytest.raises(ValidationError, match="64 times r"):
        Recipe(r=1, alpha=65)


def test_peft_and_transformers_get_the_recipe(tmp_path: Path) -> None:
    recipe = Recipe(r=8, alpha=24, dropout=0.05, learning_rate=3e-4, epochs=7, batch_size=6, gradient_accumulation=4)
    lora = lora_config(recipe)
    assert (lora.r, lora.lora_alpha, lora.lora_dropout, lora.target_modules) == (8, 24, 0.05, "all-linear")
    arguments = training_arguments(recipe, seed=5, device="cpu", work_dir=tmp_path)
    assert (arguments.learning_rate, arguments.num_train_epochs) == (3e-4, 7)
    assert (arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps) == (6, 4)
    assert (arguments.seed, arguments.data_seed, arguments.report_to) == (5, 5, [])
