"""`nabi status` and `nabi doctor`: what is live and why; what this machine can do and what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from nabi.cli.handing import queue_rows
from nabi.cli.output import AsJson, print_json, show
from nabi.errors import NabiError
from nabi.settings import Settings, get_settings

if TYPE_CHECKING:
    from nabi.steps.standing import Standing

_NEEDED = (
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "prefect",
    "mlflow",
    "dvc",
    "evaluate",
    "pandas",
    "openpyxl",
)


def status(as_json: AsJson = False) -> None:
    """What is live for every persona, how its newest window ended, and what works or waits and why."""
    from nabi.steps.standing import standings
    from nabi.wiring import get_platform

    platform = get_platform()
    rows = [_persona_row(stands) for stands in standings(platform)]
    programs = _programs(platform.settings)
    queue = queue_rows(platform.settings)
    if as_json:
        print_json({"personas": rows, "queue": queue, "platform": programs})
        return
    show(rows, as_json=False, title="Personas", empty="No persona is declared: add a YAML file to personas/.")
    if programs:
        show(queue, as_json=False, title="Queue", empty="No run works or waits.")
    show(programs, as_json=False, title="Platform", empty="The platform is not up; start it with `nabi up`.")


def _persona_row(stands: Standing) -> dict[str, Any]:
    """One line."""
    doing, trial = stands.doing, stands.trial
    return {
        "persona": stands.persona,
        "adapter": stands.champion or "base",
        "retire": "learned from deleted words: train anew" if stands.tainted else None,
        "previous": stands.previous,
        "on trial": f"{trial.candidate}, {trial.share} %" if trial else None,
        "new": f"{stands.new_samples} of {'?' if stands.needed is None else stands.needed}",
        "window": stands.window.astimezone(ZoneInfo(stands.timezone)) if stands.window else None,
        "last": f"{doing.percent:.0f} %: {doing.told}" if doing else stands.last_window or "never ran",
    }


def _programs(settings: Settings) -> list[dict[str, Any]]:
    """What `nabi up` runs, in the order of its start; empty when it is not up."""
    from nabi.integrations.running import is_up, run_folder, running_servers
    from nabi.integrations.supervisor import Supervisor

    if not is_up(settings):
        return []
    servers = running_servers(settings)
    return [
        {
            "process": program.name,
            "state": program.state.lower(),
            "pid": program.pid,
            "restarts": program.restarts,
            "since": program.since.astimezone() if program.since else None,
            "where": servers.get(program.name),
        }
        for program in Supervisor(run_folder(settings), settings.state / "logs").states()
    ]


def doctor(as_json: AsJson = False) -> None:
    """What this machine can do, and what is missing; exits non-zero when the loop could not run."""
    import typer

    settings = get_settings()
    checks: tuple[tuple[str, Callable[[Settings], str]], ...] = (
        ("libraries", _libraries),
        ("base model", _base_model),
        ("personas", _personas),
        ("database", _database),
        ("processor", _processor),
        ("gpu", _gpu),
        ("training", _training_plan),
        ("disk", _disk),
        ("platform", _platform),
        ("logins", _logins),
        ("prefect's runs", _prefect_store),
        ("mlflow's runs", _mlflow_store),
    )
    rows: list[dict[str, Any]] = []
    for name, check in checks:
        try:
            rows.append({"check": name, "state": "ok", "what": check(settings)})
        except NabiError as error:
            rows.append({"check": name, "state": "missing", "what": str(error)})
    show(rows, as_json=as_json, title="This machine", empty="")
    if any(row["state"] == "missing" for row in rows):
        raise typer.Exit(1)


def _libraries(settings: Settings) -> str:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise NabiError(f"not installed: {', '.join(missing)}", fix="Run `make setup`.")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _NEEDED)


def _base_model(settings: Settings) -> str:
    from nabi.training.base_model import resolve_base

    base = resolve_base(settings.base_model, settings.models)
    return f"{base.name} ({base.source}, revision {base.revision[:12]})"


def _personas(settings: Settings) -> str:
    from nabi.personas.load import load_personas

    return f"{len(load_personas(settings.personas))} declared in {settings.personas}"


def _database(settings: Settings) -> str:
    from nabi.wiring import get_platform

    return f"reachable: {get_platform().database.address}"


def _processor(settings: Settings) -> str:
    import psutil

    memory = psutil.virtual_memory()
    return f"{os.cpu_count()} cores, {memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB memory free"


def _gpu(settings: Settings) -> str:
    from nabi.resources.sensors import read_resources

    reading = read_resources()
    if reading.gpu is None:
        return f"none ({reading.gpu_note})"
    return f"{reading.gpu.name}, {reading.gpu.memory_free_bytes / 2**30:.1f} GiB free"


def _training_plan(settings: Settings) -> str:
    """What each persona's training would do here, and why; with a warning where it would take hours.

    First what the installation's base and the default recipe give, then the personas for which it is something else.
    """
    from nabi.personas.load import load_personas
    from nabi.personas.model import RecipeChoice
    from nabi.training.base_model import resolve_base
    from nabi.training.plan import plan_training, this_machine
    from nabi.training.recipe import resolve_recipe

    machine = this_machine()

    def planned(choice: RecipeChoice, name: str) -> tuple[tuple[str, bool], str]:
        """The base and whether it is held in 4 bits, and the plan in words."""
        base = resolve_base(name, settings.models)
        plan = plan_training(base, resolve_recipe(choice, base), machine)
        return (name, plan.four_bit), f"{plan.why}. {plan.warning}" if plan.warning else plan.why

    usual, told = planned(RecipeChoice(), settings.base_model)
    others: dict[tuple[str, bool], tuple[str, list[str]]] = {}
    for persona in load_personas(settings.personas).values():
        kind, why = planned(persona.recipe, persona.base_model or settings.base_model)
        if kind != usual:
            others.setdefault(kind, (why, []))[1].append(persona.id)
    return "; ".join([told, *(f"{', '.join(ids)}: {name}, {why}" for (name, _), (why, ids) in others.items())])


def _disk(settings: Settings) -> str:
    free = shutil.disk_usage(settings.home).free / 2**30
    if free < 1:
        raise NabiError(
            f"{free:.1f} GiB free", where=str(settings.home), fix="Free some space: a run needs about 1 GiB."
        )
    return f"{free:.0f} GiB free at {settings.home}"


def _platform(settings: Settings) -> str:
    """Whether the platform is up and whole, or could be started."""
    from nabi.integrations.running import is_ready, is_up

    if not is_up(settings):
        return _startable(settings)
    if not is_ready(settings):
        return f"`nabi up` is starting it; what its programs say is in {settings.state / 'logs'}"
    programs = _programs(settings)
    if limping := [program for program in programs if program["state"] not in ("running", "starting")]:
        raise NabiError(
            ", ".join(f"{program['process']} is in state {program['state']}" for program in limping),
            where=str(settings.state / "logs"),
            fix="The end of its log says why; the supervisor goes on trying.",
        )
    return "up: " + ", ".join(f"{program['process']} ({program['restarts']} restarts)" for program in programs)


def _startable(settings: Settings) -> str:
    """Whether the ports are free for `nabi up`, and if not, who has them."""
    from nabi.integrations.local_servers import port_is_taken
    from nabi.integrations.running import installation_on

    ports = {
        "NABI_PREFECT_PORT": settings.prefect_port,
        "NABI_MLFLOW_PORT": settings.mlflow_port,
        "NABI_SERVE_PORT": settings.serve_port,
    }
    taken = {f"{port} ({name})": installation_on(port) for name, port in ports.items() if port_is_taken(port)}
    if left_over := [port for port, state in taken.items() if state == str(settings.state)]:
        return f"not up, but servers of an earlier start have port {' and '.join(left_over)}; `nabi up` ends them first"
    if taken:
        holders = " and ".join(
            f"{f'the platform of {state}' if state else 'somebody'} listens on port {port}"
            for port, state in taken.items()
        )
        raise NabiError(f"not up, and {holders}", fix="Stop what listens there or choose another port.")
    return f"not up; ports {', '.join(map(str, ports.values()))} are free for `nabi up`"


def _logins(settings: Settings) -> str:
    """Whether the servers' passwords are there, for their owner only."""
    from nabi.integrations.credentials import secrets_folder

    folder = secrets_folder(settings)
    passwords = sorted(folder.glob("*.password")) if folder.exists() else []
    if loose := [path.name for path in passwords if path.stat().st_mode & 0o077]:
        raise NabiError(
            f"readable by others: {', '.join(loose)}",
            where=str(folder),
            fix="`nabi up` narrows them; if others use this machine, remove the files for fresh passwords.",
        )
    return f"passwords in {folder}, for their owner only" if passwords else "made at the first `nabi up`"


def _prefect_store(settings: Settings) -> str:
    if settings.prefect_database_url is None:
        return f"SQLite in {settings.state / 'prefect'}"
    return _reached(settings.prefect_database_url, "NABI_PREFECT_DATABASE_URL")


def _mlflow_store(settings: Settings) -> str:
    if settings.mlflow.startswith("http"):
        return f"a server: {settings.mlflow}"
    if settings.mlflow.startswith("sqlite"):
        return f"SQLite, {settings.mlflow}"
    return _reached(settings.mlflow, "NABI_MLFLOW_URI")


def _reached(url: str, setting: str) -> str:
    """That the database behind an address answers; the address without its password."""
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.exc import SQLAlchemyError

    # The driver for one question; Prefect's own needs an event loop.
    address = make_url(url.replace("+asyncpg", "+psycopg2"))
    try:
        engine = create_engine(address)
        with engine.connect():
            return f"reachable: {address.render_as_string()}"
    except (SQLAlchemyError, ImportError) as error:
        raise NabiError(
            f"{address.render_as_string()} does not answer: {str(error).splitlines()[0]}",
            where=setting,
            fix="Check the address; PostgreSQL's drivers are nabi's extra `postgres`.",
        ) from error
