from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from waiting import PATIENCE_S, wait_until

from nabi.errors import ModelError, NabiError, TransientError
from nabi.personas.model import Persona
from nabi.serving.residents import Adapter
from nabi.serving.routing import Route, RouteTable
from nabi.training.base_model import BaseRef

BASE = BaseRef(name="minute", source="minute", revision="r1")
PERSONA = Persona(id="nabiyam", name="나비얌", system_prompt="짧게 답해요.")


def _route(version: str | None) -> Route:
    return Route(PERSONA, BASE, Adapter(version, "d" * 64, Path(version)) if version else None)


class World:
    """What is live, and what cannot be loaded."""

    def __init__(self) -> None:
        self.live: Route | NabiError = _route("nabiyam--v1")
        self.away = False
        self.damaged: set[str] = set()
        self.prepared: list[str] = []
        self.table = RouteTable(self._read, self._prepare)

    def _read(self) -> dict[str, Route | NabiError]:
        if self.away:
            raise TransientError("the database is away.")
        return {"nabiyam": self.live}

    def _prepare(self, route: Route) -> None:
        if route.served_by in self.damaged:
            raise ModelError("the file was changed")
        self.prepared.append(route.served_by)

    def served_by(self) -> str | None:
        route = self.table.routes.get("nabiyam")
        return route.served_by if route else None


def test_a_change_comes_into_force_once_it_is_ready() -> None:
    world = World()
    for _ in range(2):
        world.table.refresh()
    world.live = _route("nabiyam--v2")
    before = world.table.routes
    world.table.refresh()
    assert world.prepared == ["nabiyam--v1", "nabiyam--v2"]
    assert world.served_by() == "nabiyam--v2"
    assert before["nabiyam"].served_by == "nabiyam--v1"


def test_what_cannot_be_made_ready_leaves_the_old_route_in_force() -> None:
    world = World()
    world.table.refresh()
    world.damaged = {"nabiyam--v2"}
    world.live = _route("nabiyam--v2")
    world.table.refresh()
    assert world.served_by() == "nabiyam--v1"
    assert "changed" in world.table.broken["nabiyam"].what
    world.damaged = set()
    world.table.refresh()
    assert world.served_by() == "nabiyam--v2"
    assert not world.table.broken


def test_a_candidate_that_cannot_be_loaded_keeps_its_champion_from_nothing() -> None:
    world = World()
    broken: set[str] = {"nabiyam--v3"}

    def prepare(route: Route) -> None:
        for adapter in route.adapters:
            if adapter.name in broken:
                raise ModelError("the file was changed")

    world.table._prepare = prepare
    tried = _route("nabiyam--v3").adapter
    world.live = replace(_route("nabiyam--v1"), candidate=tried, share=100)
    world.table.refresh()  # as after a restart: nothing was in force before
    assert world.table.routes["nabiyam"] == _route("nabiyam--v1")
    assert "changed" in world.table.broken["nabiyam"].what
    world.live = replace(_route("nabiyam--v2"), candidate=tried, share=100)
    world.table.refresh()
    assert world.table.routes["nabiyam"] == _route("nabiyam--v2")
    broken.clear()
    world.table.refresh()
    assert world.table.routes["nabiyam"] == world.live
    assert not world.table.broken


def test_a_persona_that_never_could_be_served_is_told_with_its_reason() -> None:
    world = World()
    world.live = ModelError("there is no base model 'x'")
    world.table.refresh()
    assert world.served_by() is None
    assert world.table.broken["nabiyam"].what == "there is no base model 'x'"


def test_while_the_ledger_is_away_what_is_loaded_goes_on() -> None:
    world = World()
    world.table.refresh()
    world.away = True
    world.table.refresh()
    assert world.served_by() == "nabiyam--v1"
    assert world.table.out_of_reach is not None
    world.away = False
    world.table.refresh()
    assert world.table.out_of_reach is None


def test_persona_settings_change_without_loading_anything_again() -> None:
    world = World()
    world.table.refresh()
    changed = PERSONA.model_copy(update={"system_prompt": "길게 답해요."})
    world.live = Route(changed, BASE, _route("nabiyam--v1").adapter)
    world.table.refresh()
    assert world.table.routes["nabiyam"].persona.system_prompt == "길게 답해요."
    assert world.prepared == ["nabiyam--v1"]


def test_a_slow_look_does_not_undo_what_a_later_one_found() -> None:
    """A rollback is seen while a version that was live before it is still being loaded."""
    world = World()
    world.table.refresh()
    loading, go_on = threading.Event(), threading.Event()

    def slow(route: Route) -> None:
        if route.served_by == "nabiyam--v2":
            loading.set()
            assert go_on.wait(PATIENCE_S)

    world.table._prepare = slow
    world.live = _route("nabiyam--v2")
    early = threading.Thread(target=world.table.refresh)
    early.start()
    assert loading.wait(PATIENCE_S)
    world.live = _route("nabiyam--v3")
    world.table.refresh()
    assert world.served_by() == "nabiyam--v3"
    go_on.set()
    early.join(PATIENCE_S)
    assert world.served_by() == "nabiyam--v3"


def test_what_nobody_expected_stops_neither_the_looking_nor_the_other_personas() -> None:
    other = Persona(id="mari", name="마리", system_prompt="짧게 답해요.")
    looks = 0

    def read() -> dict[str, Route | NabiError]:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise OSError("a persona's file was replaced in this moment")
        mari = Adapter(f"mari--v{min(looks, 9)}", "d" * 64, Path("mari"))
        return {"nabiyam": _route("nabiyam--v1"), "mari": Route(other, BASE, mari)}

    def prepare(route: Route) -> None:
        if route.persona.id == "nabiyam":
            raise RuntimeError("out of memory")

    table = RouteTable(read, prepare, every_s=0.01)
    table.start()
    try:
        wait_until(lambda: table.routes["mari"].served_by == "mari--v9")
        assert table.broken["nabiyam"].what == "nabiyam--v1 cannot be made ready (RuntimeError)."
    finally:
        table.stop()
