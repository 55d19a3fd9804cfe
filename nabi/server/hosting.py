"""What this process serves: an engine for each base, and who answers for which persona."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nabi.catalogue.lookup import find_facts
from nabi.conversations.records import Fact, Message, Moment
from nabi.errors import ConfigError, NabiError, TransientError
from nabi.integrations.vllm import VllmClient
from nabi.personas.model import Persona
from nabi.registry.ledger import Live
from nabi.registry.rollouts import Rollout
from nabi.registry.version_names import is_version_name, parse_version_name
from nabi.serving.batching import BatchEngine
from nabi.serving.chat_engine import ChatEngine
from nabi.serving.residents import Adapter
from nabi.serving.routing import Route, Routes, RouteTable, Wanted
from nabi.serving.vllm_engine import VllmEngine
from nabi.training.adapter import read_manifest
from nabi.training.base_model import BaseRef, load_base
from nabi.wiring import Platform

_AGAIN_AFTER_S = 15.0
"""Between two tries to load a base: each may read gigabytes, or wait for a server that is away."""


class UnknownModel(ConfigError):
    """Neither a persona nor an adapter version of this installation."""


class Hosting:
    """Engines and routes of one server process.

    Args:
        platform: personas, ledger and adapters come from it; MLflow is asked only for adapters that are not here.
    """

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._engines: dict[str, ChatEngine] = {}
        self._engines_lock = threading.Lock()
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="nabi-bases")
        self._loading: dict[str, Future[ChatEngine]] = {}
        self._failed: dict[str, tuple[float, Exception]] = {}
        self._has_started = False
        self._champions: frozenset[str] = frozenset()
        self._personas_read: tuple[Any, Mapping[str, Persona | ConfigError]] = (None, {})
        self.table = RouteTable(self._wanted, self._prepare)

    def start(self) -> None:
        """Load what is live, and keep it current."""
        self.table.start()
        self._has_started = True

    def close(self) -> None:
        self.table.stop()
        self._loader.shutdown(cancel_futures=True)
        for engine in self._engines.values():
            engine.close()

    @property
    def engines(self) -> list[ChatEngine]:
        return list(self._engines.values())

    def route(self, model: str) -> Route:
        """Who answers under a name: a persona's champion, or an adapter version.

        Raises:
            UnknownModel: there is none of that name.
            NabiError: the persona has no route, because its base or adapter cannot be loaded.
        """
        routes = self.table.routes
        if model in routes:
            return routes[model]
        if model in self.table.broken:
            raise self.table.broken[model]
        if is_version_name(model):
            return self._version_route(model)
        raise _unknown(model, routes)

    def base_name(self, persona_id: str) -> str:
        """What a persona is called in figures while no adapter answers for it."""
        route = self.table.routes.get(persona_id)
        return route.base.name if route else self.platform.settings.base_model

    def engine(self, base: BaseRef) -> ChatEngine:
        """The engine of a base; the first call loads it, or finds it at vLLM."""
        if (made := self._engines.get(base.revision)) is not None:
            return made  # without waiting for another base that is being loaded
        with self._engines_lock:
            if base.revision not in self._engines:
                self._engines[base.revision] = self._make_engine(base)
            return self._engines[base.revision]

    def _engine_when_ready(self, base: BaseRef) -> ChatEngine:
        """The same for who must not wait: while the server answers, a new base is loaded beside it.

        Raises:
            NabiError: it is being loaded still, or it could not be loaded; after a while it is tried again.
        """
        if base.revision in self._engines or not self._has_started:
            return self.engine(base)
        failed_at, why = self._failed.get(base.revision, (-_AGAIN_AFTER_S, None))
        if why is not None and time.monotonic() < failed_at + _AGAIN_AFTER_S:
            raise why
        loading = self._loading.get(base.revision)
        if loading is None:
            loading = self._loading[base.revision] = self._loader.submit(self.engine, base)
        if not loading.done():
            raise TransientError(f"the base model {base.name} is being loaded.", fix="Ask again in a moment.")
        self._loading.pop(base.revision, None)  # several threads may look at once
        if (error := loading.exception()) is not None:
            assert isinstance(error, Exception)
            self._failed[base.revision] = (time.monotonic(), error)
        return loading.result()

    def _make_engine(self, base: BaseRef) -> ChatEngine:
        settings = self.platform.settings
        if settings.vllm_url is not None and base.name == settings.base_model:
            key = settings.vllm_api_key
            client = VllmClient(str(settings.vllm_url), None if key is None else key.get_secret_value())
            return VllmEngine(
                base,
                client,
                num_slots=settings.adapter_slots,
                max_rows=settings.answers_at_once,
                max_waiting=settings.max_waiting,
            )
        memory = settings.adapter_memory_mb
        return BatchEngine(
            load_base(base, threads=settings.threads),
            num_slots=settings.adapter_slots,
            max_slot_bytes=None if memory is None else memory * 2**20,
            max_rows=settings.answers_at_once,
            max_waiting=settings.max_waiting,
            max_prefix_bytes=settings.prefix_memory_mb * 2**20,
        )

    def facts(self, persona: Persona, question: str, history: list[Message], now: Moment) -> tuple[Fact, ...]:
        """What the persona's catalogue knows about a question; nothing where it has none."""
        catalogue = self.platform.catalogue(persona)
        if catalogue is None or persona.bootstrap is None:
            return ()
        return find_facts(catalogue, question, history, now, persona.bootstrap.daily_limit).facts

    def _wanted(self) -> Wanted:
        live, trials = self.platform.ledger.all_live(), self.platform.rollouts.all_running()
        wanted = {
            persona_id: persona
            if isinstance(persona, ConfigError)
            else self._wanted_route(persona, live.get(persona_id), trials.get(persona_id))
            for persona_id, persona in self._personas().items()
        }
        self._champions = _adapters_of(route for route in wanted.values() if isinstance(route, Route))
        return wanted

    def _wanted_route(self, persona: Persona, live: Live | None, trial: Rollout | None) -> Route | NabiError:
        try:
            base = self.platform.base(persona)
            adapter = Adapter(live.champion, live.digest, self._folder(live.champion)) if live else None
            if trial is None or (adapter and adapter.name == trial.candidate):
                return Route(persona, base, adapter)
            candidate = Adapter(trial.candidate, trial.digest, self._candidate_folder(trial.candidate))
            return Route(persona, base, adapter, candidate, trial.share)
        except NabiError as error:
            return error

    def _candidate_folder(self, name: str) -> Path:
        """As `_folder`; where it should be, if it is nowhere: making it ready says so, and its champion goes on."""
        try:
            return self._folder(name)
        except NabiError:
            return self._local(name)

    def _prepare(self, route: Route) -> None:
        engine = self._engine_when_ready(route.base)
        # Those in force too: where a new one cannot be made ready, the one before it goes on.
        engine.residents.keep(self._champions | _adapters_of(self.table.routes.values()))
        for adapter in route.adapters:
            engine.preload(adapter)
        self.platform.catalogue(route.persona)  # read before the first question, not during it

    def _version_route(self, name: str) -> Route:
        persona_id, _number = parse_version_name(name)
        personas = self._personas()
        if persona_id not in personas:
            raise _unknown(name, self.table.routes)
        persona = personas[persona_id]
        if isinstance(persona, ConfigError):
            raise persona
        try:
            folder = self._folder(name)
        except ConfigError as error:
            raise UnknownModel(error.what, fix=error.fix) from error
        digest = read_manifest(folder).weights_sha256
        return Route(persona, self.platform.base(persona), Adapter(name, digest, folder))

    def _folder(self, name: str) -> Path:
        """An adapter's files on this machine; fetched from the artifact store when they are not here."""
        local = self._local(name)
        if local.is_dir():
            return local
        registry = self.platform.registry
        return registry.folder_of(registry.version(name))

    def _local(self, name: str) -> Path:
        return self.platform.settings.adapters / parse_version_name(name)[0] / name

    def _personas(self) -> Mapping[str, Persona | ConfigError]:
        """The declared personas, or what is wrong with a file; read again only when a file changed."""
        folder = self.platform.settings.personas
        files = sorted((path.name, path.stat().st_mtime_ns) for path in folder.glob("*.y*ml"))
        if self._personas_read[0] != files:
            self._personas_read = (files, {one: self.platform.declared(one) for one in self.platform.persona_ids()})
        return self._personas_read[1]


def _adapters_of(routes: Iterable[Route]) -> frozenset[str]:
    return frozenset(adapter.name for route in routes for adapter in route.adapters)


def _unknown(model: str, routes: Routes) -> UnknownModel:
    return UnknownModel(f"there is no model {model[:100]!r}.", fix=f"Use {', '.join(sorted(routes))}.")
