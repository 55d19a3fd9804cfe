"""Which base and adapter answers for a persona: a table that is replaced whole, and the watch that keeps it current.

A request takes its route once and ends with it, whatever becomes live meanwhile.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from nabi.errors import ModelError, NabiError
from nabi.personas.model import Persona
from nabi.registry.rollouts import is_chosen
from nabi.repeating import Repeating
from nabi.serving.residents import Adapter
from nabi.training.base_model import BaseRef

logger = logging.getLogger(__name__)

EVERY_S = 0.5
"""Between two looks at what is live: well below the two seconds within which every server must know of a change."""


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers for a persona. `adapter` is None while the bare base does.

    While a candidate is on trial, `for_session` tells which of the two answers a session.
    """

    persona: Persona
    base: BaseRef
    adapter: Adapter | None
    candidate: Adapter | None = None
    share: int = 0

    @property
    def served_by(self) -> str:
        """The name under which an answer is recorded: the adapter version, or the base."""
        return self.adapter.name if self.adapter else self.base.name

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        """Those that must be in memory for it."""
        return tuple(adapter for adapter in (self.adapter, self.candidate) if adapter is not None)

    def for_session(self, session: str) -> Route:
        """The route of one session: the same session is always answered by the same of the two."""
        candidate = self.candidate
        if candidate is None or not is_chosen(self.persona.id, candidate.name, session, self.share):
            return self
        return replace(self, adapter=candidate)


Routes = Mapping[str, Route]

Wanted = Mapping[str, Route | NabiError]
"""By persona id: the route that should be in force, or why there is none."""


class RouteTable:
    """The routes in force, by persona id.

    Args:
        read: what should be in force now.
        prepare: makes a route ready (its adapter in memory) before it comes into force.
        every_s: seconds between two looks.
    """

    def __init__(
        self, read: Callable[[], Wanted], prepare: Callable[[Route], None], *, every_s: float = EVERY_S
    ) -> None:
        self._read = read
        self._prepare = prepare
        self._routes: Routes = MappingProxyType({})
        self._broken: Mapping[str, NabiError] = MappingProxyType({})
        self._out_of_reach: NabiError | None = None
        self._replacing = threading.Lock()
        self._num_looks = 0
        self._newest_look = 0
        self.looking = Repeating("routes", self.refresh, every_s=every_s)

    @property
    def routes(self) -> Routes:
        return self._routes

    @property
    def broken(self) -> Mapping[str, NabiError]:
        """Personas whose newest route could not be made ready, and why; the route before stays in force."""
        return self._broken

    @property
    def out_of_reach(self) -> NabiError | None:
        """Why the last look failed; None when it did not. What was in force stays."""
        return self._out_of_reach

    def start(self) -> None:
        """A first look, and then one every `every_s`."""
        self.refresh()
        self.looking.start()

    def stop(self) -> None:
        self.looking.stop()

    def refresh(self) -> None:
        """One look. A persona whose new route cannot be made ready keeps its old one.

        Several threads may look at once; what a later look found is never replaced by an earlier one that took longer.
        """
        with self._replacing:
            self._num_looks += 1
            look = self._num_looks
        try:
            wanted = self._read()
        except NabiError as error:
            if self._out_of_reach is None:
                logger.warning("what is live cannot be read; what is loaded goes on answering (%s)", error)
            self._out_of_reach = error
            return
        self._out_of_reach = None
        routes: dict[str, Route] = {}
        broken: dict[str, NabiError] = {}
        for persona_id, route in wanted.items():
            before = self._routes.get(persona_id)
            problem = route if isinstance(route, NabiError) else self._problem(route, before)
            if problem is None:
                assert isinstance(route, Route)
                routes[persona_id] = route
                continue
            if persona_id not in self._broken:
                logger.error("%s cannot be served as it should: %s", persona_id, problem)
            broken[persona_id] = problem
            if isinstance(route, Route) and (alone := self._without_candidate(route, before)) is not None:
                routes[persona_id] = alone
            elif before is not None:
                routes[persona_id] = before
        with self._replacing:
            if look > self._newest_look:
                self._newest_look = look
                self._routes, self._broken = MappingProxyType(routes), MappingProxyType(broken)

    def _without_candidate(self, route: Route, before: Route | None) -> Route | None:
        """The route with its champion alone: a candidate that cannot be loaded must not keep that from answering."""
        if route.candidate is None:
            return None
        alone = replace(route, candidate=None, share=0)
        return alone if self._problem(alone, before) is None else None

    def _problem(self, route: Route, before: Route | None) -> NabiError | None:
        """Makes a route ready where it differs from the one in force; why that failed."""
        if before is not None and (before.base, before.adapters) == (route.base, route.adapters):
            return None
        try:
            self._prepare(route)
        except NabiError as error:
            return error
        except Exception as error:
            # One persona's trouble, whatever it is, must not keep the others from what became live.
            logger.exception("%s cannot be made ready", route.served_by)
            return ModelError(
                f"{route.served_by} cannot be made ready ({type(error).__name__}).", fix="The server's log tells more."
            )
        logger.info("%s answers for %s", route.served_by, route.persona.id)
        return None
