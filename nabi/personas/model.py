"""Who learns: the declaration of a persona, validated where it is read.

Everything that sets one persona apart stands in its YAML file. No code knows a persona by name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from nabi.addresses import usable_address
from nabi.conversations.records import Basis, Frozen

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
    max_length: int | None = Field(default=None, ge=16, description="tokens of a sample; longer ones are left out")
    warmup: float | None = Field(default=None, ge=0, lt=1, description="share of the steps in which the rate rises")
    schedule: Literal["linear", "cosine", "constant_with_warmup"] | None = None
    four_bit: bool | None = Field(default=None, description="train over a base in 4 bits (QLoRA)")
    rslora: bool | None = Field(default=None, description="scale by alpha / √r (rank-stabilised LoRA)")
    dora: bool | None = Field(default=None, description="learn length and direction of the weights apart (DoRA)")
    recompute: bool | None = Field(default=None, description="save memory by computing activations twice")
    early_stopping: int | None = Field(
        default=None, ge=1, description="epochs without a better holdout loss before a training ends"
    )
    start: Literal["base", "champion"] | None = Field(
        default=None, description="begin with a fresh adapter over the base, or go on from the champion's weights"
    )
    continued_rate: float | None = Field(
        default=None, gt=0, le=1, description="share of the learning rate where it goes on from the champion's weights"
    )
    replay_share: float | None = Field(
        default=None, ge=0, le=1, description="of the champion's samples, which take part when it is gone on from"
    )
    preferences: bool | None = Field(default=None, description="learn from answers marked bad too, where there are any")
    preference_beta: float | None = Field(default=None, gt=0, le=10)
    preference_weight: float | None = Field(default=None, gt=0, le=100)


class Bootstrap(Frozen):
    """Dialogues from a catalogue workbook while logs are thin."""

    workbook: Path = Field(description="relative to the installation's folder")
    target: int = Field(default=600, ge=1, description="samples in a dataset before the catalogue stops filling up")
    daily_limit: int = Field(default=8000, ge=0, description="what the meal card pays a day, in won")
    refused: float = Field(
        default=0.05, ge=0, le=0.5, description="share of dialogues in which something unfit for children is declined"
    )


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


class People(Frozen):
    """Whether people are asked, blind, before an adapter goes live (requirement C10)."""

    required: bool = Field(default=False, description="what the gate would deploy waits for people's votes")
    votes: int = Field(default=20, ge=20, le=50, description="votes that decide; fewer where fewer answers differ")
    least_share: float = Field(default=0.5, ge=0, le=1, description="share of decided votes that lets it go live")
    days: float = Field(default=7, gt=0, description="with too few votes after so long, it is kept out")


class Judge(Frozen):
    """A language model that compares answers, behind any server that speaks OpenAI's chat interface."""

    url: str = Field(description="up to and with /v1, such as http://127.0.0.1:8001/v1")
    model: str = Field(min_length=1, max_length=200, description="as the server calls it")
    prompts: int = Field(default=30, ge=20, le=200, description="compared ones; fewer where fewer answers differ")
    seconds: float = Field(default=60, gt=0, le=300, description="for one answer; longer counts as none")
    required: bool = Field(default=False, description="whether what it does not prefer is kept out")
    least_share: float = Field(default=0.5, ge=0, le=1, description="share of decided comparisons that it must prefer")

    @field_validator("url")
    @classmethod
    def _usable_address(cls, value: str) -> str:
        return usable_address(value, key="NABI_JUDGE_API_KEY")


class Evaluation(Frozen):
    """How a candidate is judged. `min_gain` from requirement A4."""

    anchors: int = Field(default=100, ge=10, description="frozen prompts that every candidate of the persona meets")
    holdout_share: float = Field(default=0.1, gt=0, lt=0.5, description="share of conversations never trained on")
    min_prompts: int = Field(default=100, ge=10)
    min_gain: float = Field(default=0.05, ge=0, description="relative gain that deploys")
    certain_gain: float = Field(default=0.0, ge=0, description="what the gain must surely be above, see docs/gate.md")
    false_deploys_a_week: float = Field(
        default=0.025, gt=0, lt=0.5, description="chance that of all gates of seven days one deploys by luck alone"
    )
    forgetting_tolerance: float = Field(default=0.02, ge=0, description="relative loss allowed on an older set")
    forgetting_margin: float = Field(
        default=0.05, ge=0, description="relative loss on an older set that must be ruled out with 95 % certainty"
    )
    max_seconds: float = Field(
        default=3.0, gt=0, description="until one answer is there, the swap of adapters included"
    )
    canaries: tuple[str, ...] = Field(default=(), description="planted strings that no answer may ever hold")
    older_sets: int = Field(default=4, ge=0, description="earlier deployments whose held-out prompts are kept asking")
    older_prompts: int = Field(default=40, ge=2, description="prompts of each of them")
    max_answer_chars: int = Field(default=300, ge=10)
    min_answer_chars: int = Field(default=2, ge=1)
    weights: Weights = Weights()
    people: People = People()
    judge: Judge | None = Field(default=None, description="a second opinion; what it compares leaves this machine")

    @model_validator(mode="after")
    def _room_for_an_answer(self) -> Evaluation:
        if self.min_answer_chars > self.max_answer_chars:
            raise ValueError(
                f"min_answer_chars {self.min_answer_chars} is above max_answer_chars {self.max_answer_chars};"
                " swap or widen them"
            )
        return self


class Speaker(Frozen):
    """Whose words in meetings a persona learns from, as transcripts call them."""

    id: str | None = Field(default=None, min_length=1, max_length=200, description="the transcripts' speaker_id")
    names: tuple[str, ...] = Field(default=(), description="every way in which transcripts write the name")

    @model_validator(mode="after")
    def _can_be_recognised(self) -> Speaker:
        if self.id is None and not any(name.strip() for name in self.names):
            raise ValueError("a speaker needs an id or names; write them as transcripts do")
        return self


class Curation(Frozen):
    """What may be learned from: the thresholds of `nabi.curation`. Shares are of a dataset (see `small_dataset`)."""

    min_answer_letters: int = Field(default=5, ge=1, description="letters and digits of a full answer")
    normal_repetition: float = Field(default=0.12, ge=0, lt=1, description="duplicate 4-grams of normal answers")
    bad_repetition: float = Field(default=0.4, gt=0, le=1, description="duplicate 4-grams that score 0.7")
    min_language_share: float = Field(default=0.5, gt=0, le=1, description="letters in the persona's language")
    max_foreign_share: float = Field(default=0.1, ge=0, le=1, description="letters neither Hangul nor Latin")
    links: Literal["facts", "any"] = Field(
        default="facts", description="links an answer may hold: of its facts, or any"
    )
    harmless_flags: tuple[str, ...] = Field(
        default=("safe", "ok", "none"), description="safety flags that do not set a conversation apart"
    )
    near_duplicate: float = Field(default=0.8, gt=0.5, le=1, description="Jaccard similarity of a near-duplicate")
    near_duplicate_memory: int = Field(default=131_072, ge=1024, description="latest rows that are compared with")
    small_dataset: int = Field(
        default=200, ge=1, description="shares of a smaller dataset are taken of this many (or of bootstrap.target)"
    )
    max_user_share: float = Field(default=0.05, gt=0, le=1, description="of a dataset from one user")
    max_cluster_share: float = Field(default=0.2, gt=0, le=1, description="of a dataset with answers of one wording")
    max_own_share: float = Field(default=0.3, ge=0, le=1, description="of a dataset answered by an adapter of our own")
    min_own_feedback: float = Field(default=0.5, ge=-1, le=1, description="feedback that makes an own answer true")
    bad_feedback: float = Field(
        default=0.0, ge=-1, le=1, description="an answer with feedback below this is a negative example"
    )
    trusted_sources: tuple[str, ...] = Field(
        default=("operator", "agents", "meeting"), description="written by staff: may bring new topics from few people"
    )
    min_history: int = Field(default=50, ge=1, description="rows before anything counts as new to the persona")
    trigger_rows: int = Field(default=8, ge=2, description="rows with a new phrase before it is looked at")
    trigger_users: int = Field(default=3, ge=1, description="a new phrase of at most so many users is doubtful")
    same_answer_share: float = Field(default=0.8, gt=0, le=1, description="rows of a trigger that share one answer")
    jump_rows: int = Field(default=20, ge=2, description="rows of a topic before its share can be a jump")
    jump_factor: float = Field(default=5, gt=1, description="times its share in the history that make a jump")
    style_min_samples: int = Field(default=60, ge=10, description="answers of a persona before its style is judged")
    tools: tuple[str, ...] = Field(default=(), description="tools that the persona's samples are expected to use")

    @model_validator(mode="after")
    def _ordered(self) -> Curation:
        if self.normal_repetition >= self.bad_repetition:
            raise ValueError(
                f"normal_repetition {self.normal_repetition} is not below bad_repetition {self.bad_repetition};"
                " swap or widen them"
            )
        return self


class RolloutPlan(Frozen):
    """How a candidate on trial gets from a few sessions to all: share by share, each earned by its answers so far."""

    shares: tuple[int, ...] = Field(
        default=(5, 25, 50), min_length=1, description="percent of the sessions, one step after the other"
    )
    hours: float = Field(default=6, ge=0, description="least time at each share")
    answers: int = Field(
        default=100, ge=30, description="answers of the candidate at each share before it is looked at"
    )
    margin: float = Field(
        default=0.1, gt=0, lt=1, description="how much worse any rate of the watch may be at most, for the next step"
    )

    @field_validator("shares")
    @classmethod
    def _rising(cls, shares: tuple[int, ...]) -> tuple[int, ...]:
        if list(shares) != sorted(set(shares)) or not all(1 <= share <= 100 for share in shares):
            raise ValueError("the shares are percentages that rise, each in 1…100; write them such as [5, 25, 50]")
        return shares

    def after(self, share: int) -> int | None:
        """The share of the next step; None after the last one, when the candidate is promoted."""
        return next((later for later in self.shares if later > share), None)


class Retention(Frozen):
    """Which adapter versions keep their files (requirement A5); see `nabi.registry.retention`.

    The defaults are ours: a bit more than a day of trainings at their daily limit, and five ways back.
    """

    newest: int = Field(default=5, ge=1, description="versions trained last, whatever became of them")
    once_live: int = Field(default=5, ge=0, description="versions that were live last")


class Persona(Frozen):
    """Whoever has an adapter of its own: a chatbot, a meeting speaker, a character, an agent."""

    id: str = Field(pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*$", max_length=48)
    name: str = Field(min_length=1)
    description: str = ""
    language: Literal["ko", "en"] = "ko"
    system_prompt: str = Field(min_length=1, max_length=400)
    source: Literal["chat", "character", "meeting", "search", "agents"] = "chat"
    audience: Literal["everybody", "children"] = Field(
        default="everybody", description="whom it talks to; children are guarded by gates of their own"
    )
    uses_facts: bool = Field(default=True, description="answers are given retrieved facts as context")
    speaker: Speaker | None = Field(default=None, description="whose words in meetings are this persona's")
    basis: tuple[Basis, ...] = Field(
        default=(), description="who decided that a source without consent of its own may be learned from, and why"
    )
    base_model: str | None = Field(default=None, description="overrides the installation's base model")
    limits: Limits = Limits()
    recipe: RecipeChoice = RecipeChoice()
    bootstrap: Bootstrap | None = None
    style: Style = Style()
    evaluation: Evaluation = Evaluation()
    curation: Curation = Curation()
    rollout: RolloutPlan = RolloutPlan()
    retention: Retention = Retention()
    min_quality: float = Field(default=0.7, ge=0, le=1, description="conversations below are set apart")

    @field_validator("basis", mode="before")
    @classmethod
    def _one_or_many(cls, declared: Any) -> Any:
        return (declared,) if isinstance(declared, dict) else declared

    @field_validator("basis")
    @classmethod
    def _one_for_each_source(cls, bases: tuple[Basis, ...]) -> tuple[Basis, ...]:
        if len({basis.source for basis in bases}) < len(bases):
            raise ValueError("two bases are for the same source; keep one of them")
        return bases
