from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from transformers import get_scheduler

from nabi.errors import ConfigError, ModelError
from nabi.personas.model import RecipeChoice
from nabi.training.base_model import BaseRef
from nabi.training.recipe import PRESETS, Recipe, learning_rate, lora_config, resolve_recipe

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


def test_a_wish_of_the_persona_that_cannot_be_is_told_as_the_personas() -> None:
    with pytest.raises(
        ConfigError, match=r"the persona's recipe: alpha = 5000 \(persona\).*64 times r.*persona's file"
    ):
        resolve_recipe(RecipeChoice(r=8, alpha=5000), TINY)


def test_a_persona_may_choose_whatever_a_recipe_has() -> None:
    assert set(RecipeChoice.model_fields) == set(Recipe.model_fields) - {"origins"} | {"preset"}


def test_an_alpha_that_drowns_the_base_is_refused_before_the_training() -> None:
    with pytest.raises(ValidationError, match="64 times r"):
        Recipe(r=1, alpha=65)


def test_peft_gets_the_recipe() -> None:
    lora = lora_config(Recipe(r=8, alpha=24, dropout=0.05, rslora=True, dora=True))
    assert (lora.r, lora.lora_alpha, lora.lora_dropout, lora.target_modules) == (8, 24, 0.05, "all-linear")
    assert (lora.use_rslora, lora.use_dora) == (True, True)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant_with_warmup"])
@pytest.mark.parametrize("warmup", [0.0, 0.1])
def test_the_rate_is_that_of_transformers(schedule: str, warmup: float) -> None:
    """Its schedules are the ones that published recipes mean by these names."""
    recipe = Recipe(learning_rate=3e-4, schedule=schedule, warmup=warmup)
    num_steps = 37
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=recipe.learning_rate)
    theirs = get_scheduler(
        schedule, optimiser, num_warmup_steps=math.ceil(num_steps * warmup), num_training_steps=num_steps
    )
    for step in range(num_steps):
        assert learning_rate(recipe, step, num_steps) == theirs.get_last_lr()[0]
        optimiser.step()
        theirs.step()
