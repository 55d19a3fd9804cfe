"""The table of error kinds: real errors, raised by the libraries themselves where that is possible."""

from __future__ import annotations

import errno
import importlib
import resource
import sqlite3
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from ports import free_port

from nabi import errors
from nabi.error_kinds import RULES, TREATMENT, Kind, explanation, is_worth_another_try, kind_of

ROOT = Path(__file__).resolve().parents[2]


def nobody_listens() -> str:
    return f"http://127.0.0.1:{free_port()}"


def no_server_for_httpx() -> None:
    import httpx

    httpx.get(nobody_listens())


def no_server_for_requests() -> None:
    import requests

    requests.get(nobody_listens(), timeout=1)


def no_server_for_urllib() -> None:
    urllib.request.urlopen(nobody_listens(), timeout=1)


def no_server_for_urllib3() -> None:
    import urllib3

    urllib3.PoolManager(retries=False).request("GET", nobody_listens())


def no_server_for_prefect() -> None:
    from prefect.client.orchestration import SyncPrefectClient

    SyncPrefectClient(nobody_listens() + "/api").read_flows()


def no_server_for_mlflow() -> None:
    from mlflow import MlflowClient

    MlflowClient(nobody_listens()).get_experiment("1")


def file_past_the_quota() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        with tempfile.TemporaryFile(buffering=0) as file:
            file.write(b"1")
            file.write(b"2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def full_disk_of_mlflow() -> None:
    import mlflow.exceptions

    # As its SQLAlchemy store says it, with the code that also stands for a server that is away.
    raise mlflow.exceptions.MlflowException("(sqlite3.OperationalError) database or disk is full\n[SQL: INSERT …]")


def no_postgres() -> None:
    from sqlalchemy import create_engine

    port = nobody_listens().rpartition(":")[2]
    create_engine(f"postgresql+psycopg2://nobody@127.0.0.1:{port}/none").connect()


def locked_database() -> None:
    path = "file:locked?mode=memory&cache=shared"
    holder, waiter = (sqlite3.connect(path, uri=True, timeout=0) for _ in range(2))
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN IMMEDIATE")
    waiter.execute("BEGIN IMMEDIATE")


def locked_database_of_sqlalchemy() -> None:
    from sqlalchemy.exc import OperationalError

    raise OperationalError("INSERT", {}, sqlite3.OperationalError("database is locked"))


def unknown_run() -> None:
    import mlflow.exceptions
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

    raise mlflow.exceptions.MlflowException("no such run", error_code=RESOURCE_DOES_NOT_EXIST)


def mlflow_refuses_the_password() -> None:
    import mlflow.exceptions

    raise mlflow.exceptions.RestException({"error_code": "UNAUTHENTICATED", "message": "who are you"})


def mlflow_is_busy() -> None:
    import mlflow.exceptions

    raise mlflow.exceptions.RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "later"})


def dvc_lock() -> None:
    from dvc.lock import LockError

    raise LockError("held by another process")


def dvc_upload() -> None:
    from dvc.exceptions import UploadError

    raise UploadError(3)


def too_large_a_tensor() -> None:
    import torch

    torch.empty(10**15)


def cuda_out_of_memory() -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def step_ran_too_long() -> None:
    from prefect.task_engine import TaskRunTimeoutError

    raise TaskRunTimeoutError("Scope timed out after 60 second(s).")


def answers(status: int) -> Callable[[], None]:
    def raise_for_status() -> None:
        import httpx

        request = httpx.Request("GET", "http://127.0.0.1")
        httpx.Response(status, request=request).raise_for_status()

    raise_for_status.__name__ = f"http_{status}"
    return raise_for_status


def os_error(code: int) -> Callable[[], None]:
    def fail() -> None:
        raise OSError(code, "the system says no")

    fail.__name__ = errno.errorcode[code]
    return fail


def raised(kind: type[Exception], *arguments: object) -> Callable[[], None]:
    def fail() -> None:
        raise kind(*arguments)

    fail.__name__ = kind.__name__
    return fail


@pytest.mark.parametrize(
    ("fails", "kind"),
    [
        (no_server_for_httpx, Kind.TRANSIENT),
        (no_server_for_requests, Kind.TRANSIENT),
        (no_server_for_urllib, Kind.TRANSIENT),
        (no_server_for_urllib3, Kind.TRANSIENT),
        (no_server_for_prefect, Kind.TRANSIENT),
        (no_postgres, Kind.TRANSIENT),
        (locked_database, Kind.TRANSIENT),
        (locked_database_of_sqlalchemy, Kind.TRANSIENT),
        (mlflow_is_busy, Kind.TRANSIENT),
        (dvc_lock, Kind.TRANSIENT),
        (dvc_upload, Kind.TRANSIENT),
        (answers(503), Kind.TRANSIENT),
        (answers(429), Kind.TRANSIENT),
        (os_error(errno.ENETUNREACH), Kind.TRANSIENT),
        (raised(TimeoutError), Kind.TRANSIENT),
        (raised(errors.TransientError, "the lock is held"), Kind.TRANSIENT),
        (too_large_a_tensor, Kind.OUT_OF_MEMORY),
        (cuda_out_of_memory, Kind.OUT_OF_MEMORY),
        (raised(MemoryError), Kind.OUT_OF_MEMORY),
        (os_error(errno.ENOMEM), Kind.OUT_OF_MEMORY),
        (raised(errors.OutOfMemory, "too little memory"), Kind.OUT_OF_MEMORY),
        (os_error(errno.ENOSPC), Kind.NO_SPACE),
        (file_past_the_quota, Kind.NO_SPACE),
        (full_disk_of_mlflow, Kind.NO_SPACE),
        (raised(errors.NoSpaceError, "the disk is full"), Kind.NO_SPACE),
        (raised(sqlite3.OperationalError, "database or disk is full"), Kind.NO_SPACE),
        (os_error(errno.EROFS), Kind.BAD_CONFIGURATION),
        (os_error(errno.EACCES), Kind.BAD_CONFIGURATION),
        (raised(sqlite3.OperationalError, "attempt to write a readonly database"), Kind.BAD_CONFIGURATION),
        (answers(401), Kind.BAD_CONFIGURATION),
        (mlflow_refuses_the_password, Kind.BAD_CONFIGURATION),
        (step_ran_too_long, Kind.BAD_CONFIGURATION),
        (raised(errors.ConfigError, "no such preset"), Kind.BAD_CONFIGURATION),
        (unknown_run, Kind.BAD_DATA),
        (raised(errors.DataError, "the log is empty"), Kind.BAD_DATA),
        (raised(errors.ModelError, "the adapter is damaged"), Kind.BAD_DATA),
        (raised(sqlite3.DatabaseError, "file is not a database"), Kind.BAD_DATA),
        (raised(errors.LeaseLost, "another process has it"), Kind.TAKEN_OVER),
        (answers(404), Kind.OUR_BUG),
        (raised(ValueError, "?"), Kind.OUR_BUG),
        (raised(KeyError, "?"), Kind.OUR_BUG),
        (raised(FileNotFoundError, errno.ENOENT, "?"), Kind.OUR_BUG),
    ],
    ids=lambda value: value.__name__ if callable(value) else value.name,
)
def test_kinds(fails: Callable[[], None], kind: Kind) -> None:
    with pytest.raises(Exception) as caught:
        fails()
    assert kind_of(caught.value) is kind
    assert is_worth_another_try(caught.value) is (kind is Kind.TRANSIENT)


def test_mlflow_without_a_server_is_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Exception) as caught:
        no_server_for_mlflow()
    assert kind_of(caught.value) is Kind.TRANSIENT


def test_a_wrapper_that_no_rule_knows_is_of_the_kind_of_its_cause() -> None:
    with pytest.raises(RuntimeError) as caught:
        try:
            os_error(errno.ENOSPC)()
        except OSError as error:
            raise RuntimeError("the step failed") from error
    assert kind_of(caught.value) is Kind.NO_SPACE


def test_whoever_waited_in_vain_is_not_made_to_wait_again() -> None:
    error = errors.GaveUpWaiting("waited since 12:00:00 UTC in vain")
    assert kind_of(error) is Kind.TRANSIENT
    assert not is_worth_another_try(error)


def test_every_class_in_the_table_exists_under_its_name() -> None:
    for rule in RULES:
        for name in rule.classes:
            module, _, qualname = name.rpartition(".")
            found = getattr(importlib.import_module(module or "builtins"), qualname)
            assert f"{found.__module__}.{found.__qualname__}".removeprefix("builtins.") in {name, qualname}, name


def test_every_kind_says_what_the_loop_and_what_a_person_does() -> None:
    assert set(TREATMENT) == set(Kind)
    for kind, does in ((Kind.OUT_OF_MEMORY, "isinstance(outcome, OutOfMemory)"), (Kind.TRANSIENT, "JITTER")):
        place = TREATMENT[kind].retried.partition("(")[2].rstrip(")")
        assert does in (ROOT / place).read_text(encoding="utf-8"), "the table names the place that does it"


def test_the_sentence_says_what_to_mend_unless_the_error_does() -> None:
    disk = OSError(errno.ENOSPC, "No space left on device")
    assert explanation(disk) == (
        "no space: OSError: [Errno 28] No space left on device Free space on the disk, then run the window again."
    )
    config = errors.ConfigError("there is no preset 'fast'", where="--preset", fix="Choose balanced.")
    assert explanation(config) == "bad configuration: --preset: there is no preset 'fast' Choose balanced."


def test_a_full_disk_is_told_by_the_database_too(tmp_path: Path) -> None:
    from sqlalchemy import text

    from nabi.database.engine import open_database

    database = open_database(f"sqlite:///{tmp_path / 'nabi.db'}")
    with pytest.raises(errors.NoSpaceError), database.write() as session:
        session.execute(text("PRAGMA max_page_count = 1"))  # SQLite takes the present size: every growth is refused
        session.execute(text("CREATE TABLE filler (x)"))
        session.execute(text("INSERT INTO filler VALUES (zeroblob(1000000))"))
    database.close()
