"""Puts the parts together from the settings: the one place that knows which part gets which."""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING

from nabi.collector import collector_paused
from nabi.conversations.consents import Consents
from nabi.conversations.store import ConversationStore
from nabi.database.engine import Database, open_database
from nabi.errors import ConfigError
from nabi.kept import KeptResults
from nabi.personas.load import declared_ids, load_persona, load_personas
from nabi.personas.model import Persona, Preset
from nabi.registry.answers import Answers
from nabi.registry.crashes import Crashes
from nabi.registry.holding import Holding
from nabi.registry.journal import Journal
from nabi.registry.leases import Leases
from nabi.registry.ledger import Ledger
from nabi.registry.lineage import Lineage
from nabi.registry.notices import Notices
from nabi.registry.progress import ProgressBook
from nabi.registry.removals import Removals
from nabi.registry.rollouts import Rollouts
from nabi.registry.stops import Stops
from nabi.resources.sensors import Limits
from nabi.settings import Settings, get_settings

if TYPE_CHECKING:
    # MLflow alone takes two seconds to import; a command that does not track anything should not wait for it.
    from nabi.catalogue.model import Catalogue
    from nabi.catalogue.workbook import WorkbookReading
    from nabi.integrations.dvc_datasets import DatasetVersions
    from nabi.integrations.mlflow_tracking import Tracker
    from nabi.registry.adapters import AdapterRegistry
    from nabi.training.base_model import BaseRef


class Platform:
    """Everything a step needs; each part is made when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def persona(self, persona_id: str) -> Persona:
        return load_persona(persona_id, self.settings.personas)

    def personas(self) -> dict[str, Persona]:
        return load_personas(self.settings.personas)

    def declared(self, persona_id: str) -> Persona | ConfigError:
        """The persona, or what is wrong with its file: one that is broken must not keep others from being shown."""
        try:
            return self.persona(persona_id)
        except ConfigError as error:
            return error

    def persona_ids(self) -> list[str]:
        """Everybody who is declared, those whose file is broken among them."""
        return declared_ids(self.settings.personas)

    @property
    def kept(self) -> KeptResults:
        """What need not be made again by the next process."""
        return KeptResults(self.settings.state / "kept")

    @cached_property
    def database(self) -> Database:
        return open_database(self.settings.database)

    @cached_property
    def store(self) -> ConversationStore:
        return ConversationStore(self.database)

    @cached_property
    def consents(self) -> Consents:
        return Consents(self.database)

    @cached_property
    def answers(self) -> Answers:
        return Answers(self.database)

    @cached_property
    def journal(self) -> Journal:
        return Journal(self.database)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.database)

    @cached_property
    def notices(self) -> Notices:
        return Notices(self.database)

    @cached_property
    def progress(self) -> ProgressBook:
        return ProgressBook(self.database)

    @cached_property
    def leases(self) -> Leases:
        return Leases(self.database)

    @cached_property
    def holding(self) -> Holding:
        """What this process works under."""
        return Holding(self.leases)

    @cached_property
    def crashes(self) -> Crashes:
        return Crashes(self.database)

    @cached_property
    def stops(self) -> Stops:
        return Stops(self.database)

    @property
    def limits(self) -> Limits:
        """What makes runs wait."""
        settings = self.settings
        return Limits(cpu=settings.max_cpu, memory=settings.max_memory, gpu=settings.max_gpu)

    @cached_property
    def rollouts(self) -> Rollouts:
        return Rollouts(self.database)

    @cached_property
    def removals(self) -> Removals:
        return Removals(self.database)

    @cached_property
    def lineage(self) -> Lineage:
        return Lineage(self.database)

    @cached_property
    def datasets(self) -> DatasetVersions:
        with collector_paused():
            from nabi.integrations.dvc_datasets import DatasetVersions

        settings = self.settings
        return DatasetVersions(settings.home, settings.datasets, settings.state, newest=self.lineage.newest)

    @cached_property
    def tracker(self) -> Tracker:
        with collector_paused():  # it imports more when it is made
            from nabi.integrations.mlflow_tracking import Tracker

            return Tracker(self.settings.mlflow, self.settings.mlruns)

    @cached_property
    def registry(self) -> AdapterRegistry:
        from nabi.registry.adapters import AdapterRegistry

        return AdapterRegistry(self.tracker, self.ledger, self.rollouts, self.removals, self.settings.adapters)

    def base(self, persona: Persona) -> BaseRef:
        from nabi.training.base_model import resolve_base

        return resolve_base(persona.base_model or self.settings.base_model, self.settings.models)

    def gpu_bytes(self, persona_id: str, preset: Preset | None) -> int | None:
        """Free GPU memory that a training of the persona needs.

        None where its base is not on this machine, and where torch knows no CUDA: then trainings use the processor,
        whatever else the card is busy with.
        """
        from nabi.training.libraries import torch_knows_cuda
        from nabi.training.memory import memory_needed, read_shape
        from nabi.training.recipe import resolve_recipe

        if not torch_knows_cuda():
            return None
        persona = self.persona(persona_id)
        base = self.base(persona)
        shape = read_shape(base)
        if shape is None:
            return None
        # In 4 bits, which a training falls back to by itself, but with the batch that the recipe asks for.
        return memory_needed(shape, resolve_recipe(persona.recipe, base, preset), device="cuda", four_bit=True).total

    def workbook(self, persona: Persona) -> WorkbookReading | None:
        """The persona's workbook, read and checked; None when it has none. Read once per content."""
        from nabi.catalogue.workbook import read_workbook_cached

        if persona.bootstrap is None:
            return None
        return read_workbook_cached(self.settings.path(persona.bootstrap.workbook), self.kept)

    def catalogue(self, persona: Persona) -> Catalogue | None:
        """The usable part of the persona's workbook; None when it has none."""
        reading = self.workbook(persona)
        return reading.catalogue if reading else None


@cache
def get_platform() -> Platform:
    """The process's platform, from the process's settings."""
    return Platform(get_settings())
