"""The recipe of a training: every number that shapes an adapter, and where each number came from.

Defaults are requirement A3's (r 16, alpha 32, dropout 0.1, learning rate 1e-4), made for a real base of billions of
parameters. A preset sets what fits the machine (B4), the persona sets what it wants, and the base model has the last
word through its own `recipe.json`: what suits a tiny base would ruin a large one, so the recipe belongs to the base.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from nabi.conversations.records import Frozen
from nabi.errors import ConfigError, ModelError
from nabi.personas.model import Preset, RecipeChoice
from nabi.training.adapter import MAX_RANK, MAX_SCALE
from nabi.training.base_model import BaseRef


class Recipe(Frozen):
    """One training's arguments, seed apart."""

    r: int = Field(default=16, ge=1, le=MAX_RANK, description="rank of the adapter")
    alpha: int = Field(default=32, ge=1, description="scale of the adapter, divided by r")
    dropout: float = Field(default=0.1, ge=0, lt=1)
    learning_rate: float = Field(default=1e-4, gt=0, lt=1)
    epochs: int = Field(default=3, ge=1, le=100)
    batch_size: int = Field(default=4, ge=1)
    gradient_accumulation: int = Field(default=1, ge=1)
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    max_length: int = Field(default=2048, ge=16, description="tokens of a sample; longer ones are left out, counted")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps in which the rate rises")
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    four_bit: bool = Field(default=False, description="train over a base in 4 bits (QLoRA)")
    rslora: bool = Field(default=False, description="scale by alpha / √r instead of alpha / r (rank-stabilised)")
    dora: bool = Field(default=False, description="learn length and direction of the weights apart (DoRA)")
    recompute: bool = Field(
        default=False, description="compute activations twice instead of keeping them: a third slower, far less memory"
    )
    early_stopping: int | None = Field(
        default=None, ge=1, description="epochs without a better holdout loss before it ends; the best weights are kept"
    )
    start: Literal["base", "champion"] = Field(
        default="base", description="a fresh adapter, or the champion's weights where they fit this recipe"
    )
    continued_rate: float = Field(
        default=1.0, gt=0, le=1, description="share of the learning rate where it goes on from the champion's weights"
    )
    replay_share: float = Field(
        default=1.0, ge=0, le=1, description="of the champion's samples, which take part when it is gone on from"
    )
    preferences: bool = Field(default=True, description="learn from answers marked bad too, where the dataset has any")
    preference_beta: float = Field(
        default=0.1, gt=0, le=10, description="how firmly preferences hold the model to where it began (trl's beta)"
    )
    preference_weight: float = Field(
        default=1.0, gt=0, le=100, description="of a step's preference loss beside its loss per learned token"
    )
    origins: dict[str, str] = Field(default_factory=dict, description="where each value came from")

    @model_validator(mode="after")
    def _sane_scale(self) -> Recipe:
        if self.scale > MAX_SCALE:
            divisor, divided_by = (math.sqrt(self.r), "√r") if self.rslora else (self.r, "r")
            raise ValueError(f"alpha {self.alpha} is more than {MAX_SCALE:g} times {divided_by}, {divisor:g}; lower it")
        return self

    @property
    def scale(self) -> float:
        """What multiplies the product of the two factors."""
        return self.alpha / (math.sqrt(self.r) if self.rslora else self.r)

    @property
    def samples_a_step(self) -> int:
        """The effective batch: what the optimiser sees at once, however few rows the memory takes."""
        return self.batch_size * self.gradient_accumulation


PRESETS: dict[Preset, dict[str, int]] = {
    "low-memory": {"batch_size": 2, "epochs": 1, "r": 8},
    "balanced": {"batch_size": 4, "epochs": 3, "r": 16},
    "high-quality": {"batch_size": 8, "epochs": 5, "r": 32},
}


def resolve_recipe(choice: RecipeChoice, base: BaseRef, preset: Preset | None = None) -> Recipe:
    """Defaults < preset < the persona's choice < what the base's own `recipe.json` fixes.

    Args:
        choice: the persona's wishes.
        base: whose `recipe` wins.
        preset: replaces the persona's preset for this run.

    Raises:
        ModelError: the base's `recipe.json` names a value that no recipe has, or one out of bounds.
        ConfigError: what the persona asks for cannot go together.
    """
    name = preset or choice.preset
    chosen = choice.model_dump(exclude={"preset"}, exclude_none=True)
    layers: tuple[tuple[str, dict[str, Any]], ...] = (
        ("default", {key: field.default for key, field in Recipe.model_fields.items() if key != "origins"}),
        (f"preset {name}", PRESETS[name]),
        ("persona", chosen),
        (f"base {base.name}", base.recipe),
    )
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        values |= layer
        origins |= dict.fromkeys(layer, origin)
    try:
        return Recipe(**values, origins=origins)
    except ValidationError as error:
        first = error.errors()[0]
        # What no single value is to blame for is the scale, alpha over r.
        field = str(first["loc"][0]) if first["loc"] else "alpha"
        told = f"{field} = {values.get(field)!r} ({origins.get(field, 'unknown')}): {first['msg']}"
        if origins.get(field) == "persona":
            raise ConfigError(
                told, where="the persona's recipe", fix=f"Change {field} in the persona's file."
            ) from error
        raise ModelError(
            told,
            where=f"{base.source}/recipe.json",
            fix=f"The base's recipe may fix {', '.join(sorted(set(Recipe.model_fields) - {'origins'}))}.",
        ) from error


def lora_config(recipe: Recipe) -> Any:
    """The one place where a recipe becomes PEFT's `LoraConfig`."""
    from peft import LoraConfig

    modules = recipe.target_modules
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=recipe.r,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        use_rslora=recipe.rslora,
        use_dora=recipe.dora,
        target_modules=modules if isinstance(modules, str) else list(modules),
    )


def learning_rate(recipe: Recipe, step: int, num_steps: int) -> float:
    """The rate of a step (counted from 0): it rises in a line over the warm-up, then follows the schedule."""
    warmup = math.ceil(num_steps * recipe.warmup)
    if step < warmup:
        return recipe.learning_rate * (step / max(1, warmup))
    done = (step - warmup) / max(1, num_steps - warmup)
    if recipe.schedule == "linear":
        return recipe.learning_rate * ((num_steps - step) / max(1, num_steps - warmup))
    if recipe.schedule == "cosine":
        return recipe.learning_rate * (0.5 * (1 + math.cos(math.pi * done)))
    return recipe.learning_rate
