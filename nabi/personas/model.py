"""Who learns: the declaration of a persona, validated where it is read.

Everything that sets one persona apart stands in its YAML file. No code knows a persona by name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from nabi.conversations.records import Frozen

Preset = Literal["low-memory", "balanced", "high-quality"]


class Limits(Frozen):
    """When a persona trains. Defaults from requirement A2."""

    min_new_samples: int = Field(default=50, ge=1, description="new samples before a training starts")
    max_trainings_per_day: int = Field(default=4, ge=1)
    timezone: str = Field(default="Asia/Seoul", description="whose midnight starts the day")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is no time zone; write one such as Asia/Seoul") from error
        return value


class RecipeChoice(Frozen):
    """What a persona wants of its training; what it leaves out comes from the preset. See `nabi.training.recipe`."""

    preset: Preset = "balanced"
    r: int | None = Field(default=None, ge=1, le=256)
    alpha: int | None = Field(default=None, ge=1)
    dropout: float | None = Field(default=None, ge=0, lt=1)
    learning_rate: float | None = Field(default=None, gt=0, lt=1)
    epochs: int | None = Field(default=None, ge=1, le=100)
    batch_size: int | None = Field(default=None, ge=1)
    gradient_accumulation: int | None = Field(default=None, ge=1)
    target_modules: Literal["all-linear"] | tuple[str, ...] | None = None
    four_bit: bool | None = Field(default=None, description="train over a base in 4 bits (QLoRA)")


class Bootstrap(Frozen):
    """Dialogues from a catalogue workbook while logs are thin."""

    workbook: Path = Field(description="relative to the installation's folder")
    target: int = Field(default=600, ge=1, description="samples in a dataset before the catalogue stops filling up")
    daily_limit: int = Field(default=8000, ge=0, description="what the meal card pays a day, in won")


class Style(Frozen):
    """How a persona talks, as an evaluation can measure it. Patterns are regular expressions."""

    endings: tuple[str, ...] = Field(default=(), description="a sentence should end like one of these")
    keywords: tuple[str, ...] = Field(default=(), description="tone words; an answer should hold at least one")
    forbidden: tuple[str, ...] = Field(default=(), description="never in an answer")

    @field_validator("endings", "keywords", "forbidden")
    @classmethod
    def _compilable(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression ({error}); escape the character") from error
        return patterns


class Weights(Frozen):
    """Shares of the parts in the quality score; they must add up to 1."""

    grounded: float = Field(default=0.4, ge=0, le=1)
    style: float = Field(default=0.25, ge=0, le=1)
    likelihood: float = Field(default=0.2, ge=0, le=1)
    form: float = Field(default=0.15, ge=0, le=1)

    @model_validator(mode="after")
    def _sum_to_one(self) -> Weights:
        total = self.grounded + self.style + self.likelihood + self.form
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the weights add up to {total:g}; make them add up to 1")
        return self


class Evaluation(Frozen):
    """How a candidate is judged. `min_gain` from requirement A4."""

    anchors: int = Field(default=100, ge=10, description="frozen prompts that every candidate of the persona meets")
    holdout_share: float = Field(default=0.1, gt=0, lt=0.5, description="share of conversations never trained on")
    min_prompts: int = Field(default=100, ge=10)
    min_gain: float = Field(default=0.05, ge=0, description="relative gain that deploys")
    forgetting_tolerance: float = Field(default=0.02, ge=0, description="relative loss allowed on the anchors")
    max_answer_chars: int = Field(default=300, ge=10)
    min_answer_chars: int = Field(default=2, ge=1)
    weights: Weights = Weights()

    @model_validator(mode="after")
    def _room_for_an_answer(self) -> Evaluation:
        if self.min_answer_chars > self.max_answer_chars:
            raise ValueError(
                f"min_answer_chars {self.min_answer_chars} is above max_answer_chars {self.max_answer_chars};"
                " swap or widen them"
            )
        return self


class Persona(Frozen):
    """Whoever has an adapter of its own: a chatbot, a meeting speaker, a character, an agent."""

    id: str = Field(pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*$", max_length=48)
    name: str = Field(min_length=1)
    description: str = ""
    language: Literal["ko", "en"] = "ko"
    system_prompt: str = Field(min_length=1, max_length=400)
    source: Literal["chat", "character", "meeting", "search", "agents"] = "chat"
    uses_facts: bool = Field(default=True, description="answers are given retrieved facts as context")
    base_model: str | None = Field(default=None, description="overrides the installation's base model")
    limits: Limits = Limits()
    recipe: RecipeChoice = RecipeChoice()
    bootstrap: Bootstrap | None = None
    style: Style = Style()
    evaluation: Evaluation = Evaluation()
    min_quality: float = Field(default=0.7, ge=0, le=1, description="conversations below are set apart")
