"""The only module that imports mlflow: runs, figures, logged adapters and their versions.

It uses `MlflowClient` throughout: MLflow's module-level functions keep the active run in a global, which two
personas in one process would overwrite.
"""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Concatenate, ParamSpec, TypeVar

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # read when mlflow is imported
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# Its own retries take four minutes and say nothing; `persist` waits longer and says what for.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
# Its usage statistics call the outside. DO_NOT_TRACK=1 does not stop them; in tests and CI they stop by themselves.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelStatus, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from nabi.error_kinds import Kind, kind_of
from nabi.errors import ConfigError, ModelError, NabiError, NoSpaceError, TransientError
from nabi.file_lock import locked
from nabi.waiting import persist

P = ParamSpec("P")
R = TypeVar("R")

CHAMPION, CANDIDATE, PREVIOUS = "champion", "candidate", "previous"
DIGEST_TAG = "nabi.digest"
PASS_TAG = "nabi.pass"
SUCCESSOR_TAG = "dataset_successor"
RETIRE_TAG = "retire"
LAST_TRY_TAG = "last_try"
_TEXT_SUFFIXES = frozenset({".csv", ".html", ".json", ".jsonl", ".log", ".md", ".tsv", ".txt", ".yaml", ".yml"})
# Without a kind the pages open on traces of an agent, of which there are none.
_SHOWN_AS_TRAINING = {"mlflow.experimentKind": "custom_model_development"}
_MAX_METRICS_A_BATCH = 1000  # MLflow refuses a larger log_batch
_MAX_PARAM_CHARS = 6000  # and a longer value


@dataclass(frozen=True, slots=True)
class TrackedVersion:
    """One registered adapter version as MLflow knows it."""

    persona_id: str
    number: int
    run_id: str
    source: str
    tags: Mapping[str, str] = field(default_factory=dict)
    stage: str = "None"

    @property
    def digest(self) -> str:
        return self.tags.get(DIGEST_TAG, "")


@contextmanager
def _plain_errors(doing: str) -> Iterator[None]:
    """MLflow's errors as nabi's: a refusal is final, a store that is busy or away is worth another try."""
    try:
        yield
    except Exception as error:
        kind = kind_of(error)
        if kind is Kind.TRANSIENT and not isinstance(error, NabiError):
            raise TransientError(
                f"MLflow could not be reached while {doing}: {_first_line(error)}",
                fix="Check NABI_MLFLOW_URI and that the server is up (`nabi up`); the run can be repeated.",
            ) from error
        if not isinstance(error, MlflowException):
            raise
        if kind is Kind.NO_SPACE:
            raise NoSpaceError(f"no space was left for MLflow while {doing}.", fix="Free space on its disk.") from error
        refusal = ConfigError if kind is Kind.BAD_CONFIGURATION else ModelError
        raise refusal(f"MLflow refused {doing}: {error.message}") from error


@contextmanager
def _alone_in(uri: str) -> Iterator[None]:
    """One process at a time opens a SQLite store: the first one makes its tables, and MLflow does not lock them.

    Two that open an empty file at once break each other's migrations, for good if it goes badly.
    """
    if not uri.startswith("sqlite:///"):
        yield
        return
    path = Path(uri.removeprefix("sqlite:///"))
    with locked(path.with_name(f"{path.name}.lock")):
        yield


def _first_line(error: Exception) -> str:
    told = str(getattr(error, "message", error)).partition("\n")[0] or type(error).__name__
    # What follows is the vendor's whole chain of exceptions.
    return (
        told.partition(" failed with exception ")[0] + " got no answer" if " failed with exception " in told else told
    )


def _asks(doing: str) -> Callable[[Callable[Concatenate[Tracker, P], R]], Callable[Concatenate[Tracker, P], R]]:
    """A method that talks to MLflow and may be repeated: while MLflow is away it waits as long as its step allows."""

    def decorate(method: Callable[Concatenate[Tracker, P], R]) -> Callable[Concatenate[Tracker, P], R]:
        @wraps(method)
        def asked(self: Tracker, /, *args: P.args, **kwargs: P.kwargs) -> R:
            def once() -> R:
                with _plain_errors(doing):
                    return method(self, *args, **kwargs)

            return persist(once)

        return asked

    return decorate


class Tracker:
    """Runs, metrics, datasets and adapter versions of every persona: one MLflow experiment a persona.

    Args:
        uri: tracking and registry store, e.g. `sqlite:////srv/nabi/var/mlflow.db` or `http://127.0.0.1:5000`.
        artifacts: folder for artifacts; unused when `uri` is a server, which has its own.
    """

    def __init__(self, uri: str, artifacts: Path) -> None:
        # Creating the tables is not news to anybody who runs a command.
        for chatty in ("mlflow.store.db.utils", "mlflow.store.model_registry.abstract_store"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        # The registry resolves `models:/…` sources through the process's URI, whatever the client was given.
        mlflow.set_tracking_uri(uri)
        with _alone_in(uri):
            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._artifacts = None if uri.startswith("http") else artifacts

    # Runs

    @_asks("opening a run")
    def open_run(self, persona_id: str, pass_id: str, tags: Mapping[str, str]) -> str:
        """The run of one pass, made once: a repeated pass finds the run it began.

        Args:
            pass_id: identifies the pass, e.g. `nabiyam@2026-07-01T03:00:00+00:00`; also the run's name.
        """
        experiment_id = self._experiment(persona_id)
        found = self._client.search_runs(
            [experiment_id], filter_string=f"tags.`{PASS_TAG}` = '{pass_id}'", max_results=1
        )
        if found:
            run_id: str = found[0].info.run_id
            self._client.update_run(run_id, status="RUNNING")
            return run_id
        run = self._client.create_run(
            experiment_id, run_name=pass_id, tags={PASS_TAG: pass_id, "persona": persona_id, **tags}
        )
        return str(run.info.run_id)

    @_asks("closing a run")
    def close_run(self, run_id: str, *, failed: bool = False) -> None:
        self._client.set_terminated(run_id, status="FAILED" if failed else "FINISHED")

    @_asks("logging parameters")
    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Parameters as MLflow shows them.

        It never changes one. What a repeated pass has otherwise than its first try, another recipe or other code, is
        told by the tag `last_try`.
        """
        data = self._client.get_run(run_id).data
        told = {name: str(value)[:_MAX_PARAM_CHARS] for name, value in params.items()}
        changed = {name: value for name, value in told.items() if data.params.get(name, value) != value}
        tags = {LAST_TRY_TAG: json.dumps(changed, sort_keys=True)} if changed or LAST_TRY_TAG in data.tags else {}
        self.log(run_id, params={name: told[name] for name in told.keys() - data.params.keys()}, tags=tags)

    def log_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        self.log(run_id, tags=tags)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        self.log(run_id, metrics=metrics)

    def log_curve(self, run_id: str, points: Sequence[tuple[int, str, float]]) -> None:
        """Many (step, name, value) in as few requests as MLflow allows."""
        entities = _metrics(points)
        for start in range(0, len(entities), _MAX_METRICS_A_BATCH):
            self._log_batch(run_id, metrics=entities[start : start + _MAX_METRICS_A_BATCH])

    def log(
        self,
        run_id: str,
        *,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        """Figures, tags and parameters in one request; at most 1,000 figures."""
        self._log_batch(
            run_id,
            metrics=_metrics([(0, name, value) for name, value in (metrics or {}).items()]),
            tags=[RunTag(k, str(v)[:5000]) for k, v in (tags or {}).items()],
            params=[Param(k, str(v)[:_MAX_PARAM_CHARS]) for k, v in (params or {}).items()],
        )

    @_asks("logging figures")
    def _log_batch(self, run_id: str, /, **entities: Any) -> None:
        # The figures carry their time already, so that a repeated request stores no point twice.
        self._client.log_batch(run_id, **entities)

    @_asks("logging a dataset")
    def log_dataset(
        self,
        run_id: str,
        *,
        name: str,
        version: str,
        digest: str,
        profile: Mapping[str, Any],
        context: str = "training",
    ) -> None:
        """Names the exact DVC version that the run learned from, or (context `successor`) what took its place."""
        dataset = Dataset(
            name=name,
            digest=version,
            source_type="dvc",
            source=json.dumps({"dvc_md5": version, "path": f"datasets/{name}"}),
            profile=json.dumps(profile),
        )
        tags = [InputTag("mlflow.data.context", context), InputTag("dvc.md5", version), InputTag("sha256", digest)]
        self._client.log_inputs(run_id, datasets=[DatasetInput(dataset=dataset, tags=tags)])

    @_asks("storing an artifact")
    def log_file(self, run_id: str, path: Path, folder: str | None = None) -> None:
        self._client.log_artifact(run_id, str(path), folder)

    @_asks("storing an artifact")
    def log_text(self, run_id: str, text: str, name: str) -> None:
        self._client.log_text(run_id, text, name)

    @_asks("reading an experiment")
    def read_text(self, run_id: str, name: str) -> str:
        """A text artifact of a run.

        Raises:
            ModelError: the run has none of this name.
        """
        with _plain_errors(f"reading {name}"), TemporaryDirectory() as folder:
            try:
                return Path(self._client.download_artifacts(run_id, name, folder)).read_text(encoding="utf-8")
            except OSError as error:
                raise ModelError(f"the run keeps no {name} ({error})", where=run_id) from error

    def experiment_id(self, persona_id: str) -> str | None:
        """The persona's experiment, for a link into the UI; None before its first run."""
        experiment = self._client.get_experiment_by_name(persona_id)
        return str(experiment.experiment_id) if experiment else None

    @_asks("reading a run")
    def run_metrics(self, run_id: str) -> dict[str, float]:
        return dict(self._client.get_run(run_id).data.metrics)

    @_asks("reading a run")
    def run_tags(self, run_id: str) -> dict[str, str]:
        return dict(self._client.get_run(run_id).data.tags)

    # Deletion

    @_asks("listing runs")
    def runs_of(self, persona_id: str) -> list[str]:
        """Every run of a persona, those included that somebody deleted in the UI: their artifacts still lie there."""
        experiment = self._client.get_experiment_by_name(persona_id)
        if experiment is None:
            return []
        runs: list[str] = []
        token = None
        while True:
            page = self._client.search_runs(
                [experiment.experiment_id], run_view_type=ViewType.ALL, page_token=token, max_results=1000
            )
            runs += [str(run.info.run_id) for run in page]
            token = page.token
            if not token:
                return runs

    def rewrite_artifacts(self, run_id: str, rewrite: Callable[[str, bytes], bytes | None], scratch: Path) -> list[str]:
        """Lets `rewrite` change a run's text artifacts; the paths of those that it changed.

        Args:
            rewrite: gets path and content, gives the content as it should be, None to remove the artifact.
            scratch: an existing folder of ours for the passing copy. Never the system's: a kill would leave it there.
        """
        # Not repeated as a whole: a second try would no longer report what the first one changed.
        with _plain_errors("rewriting artifacts"):
            store = get_artifact_repository(
                self._client.get_run(run_id).info.artifact_uri, tracking_uri=self._client.tracking_uri
            )
            if isinstance(store, LocalArtifactRepository):
                _remove_half_stored(Path(store.artifact_dir))
            changed = []
            for path in list(_text_artifacts(store)):
                content = Path(store.download_artifacts(path, str(scratch))).read_bytes()
                wanted = rewrite(path, content)
                if wanted is None:
                    store.delete_artifacts(path)
                elif wanted != content:
                    fresh = scratch / PurePosixPath(path).name
                    fresh.write_bytes(wanted)
                    folder = str(PurePosixPath(path).parent)
                    store.log_artifact(str(fresh), None if folder == "." else folder)
                else:
                    continue
                changed.append(path)
            return changed

    @_asks("naming a dataset's successor")
    def replace_dataset(self, persona_id: str, old: str, new: str, *, why: str) -> int:
        """Names the version that took a dataset version's place in every run that learned from it; how many runs."""
        experiment = self._client.get_experiment_by_name(persona_id)
        if experiment is None:
            return 0
        runs = self._client.search_runs(
            [experiment.experiment_id],
            filter_string=f"tags.dataset_version = '{old}'",
            run_view_type=ViewType.ACTIVE_ONLY,
            max_results=50_000,
        )
        for run in runs:
            run_id = str(run.info.run_id)
            if run.data.tags.get(SUCCESSOR_TAG) != new:
                self.log_tags(run_id, {SUCCESSOR_TAG: new, f"{SUCCESSOR_TAG}_why": why})
                self.log_dataset(run_id, name=persona_id, version=new, digest="", profile={}, context="successor")
        return len(runs)

    # Adapter versions

    @_asks("registering an adapter")
    def register_adapter(
        self,
        run_id: str,
        persona_id: str,
        folder: Path,
        *,
        digest: str,
        tags: Mapping[str, str],
        params: Mapping[str, str],
    ) -> TrackedVersion:
        """Stores an adapter's files and makes the persona's next version of them.

        Only the adapter's own bytes are stored: `mlflow.transformers.log_model` would copy the whole base model.
        The same digest from the same run is registered once, however often the pass is repeated.
        """
        for known in self.versions(persona_id):
            if known.run_id == run_id and known.digest == digest:
                return known
        model = self._logged_model(run_id, persona_id, digest, tags, params)
        if model.status != LoggedModelStatus.READY:
            self._client.log_model_artifacts(model.model_id, str(folder))
            self._client.finalize_logged_model(model.model_id, "READY")
        self._ensure_registered_model(persona_id)
        version = self._client.create_model_version(
            persona_id,
            source=f"models:/{model.model_id}",
            run_id=run_id,
            tags={DIGEST_TAG: digest, **tags},
            model_id=model.model_id,
        )
        return _tracked(version)

    def _logged_model(
        self, run_id: str, persona_id: str, digest: str, tags: Mapping[str, str], params: Mapping[str, str]
    ) -> Any:
        """The logged model of an adapter: the one that a killed process began, or a new one."""
        experiment = self._experiment(persona_id)
        begun = self._client.search_logged_models(
            [experiment], filter_string=f"source_run_id = '{run_id}' AND tags.`{DIGEST_TAG}` = '{digest}'"
        )
        if begun:
            return begun[0]
        return self._client.create_logged_model(
            experiment_id=experiment,
            name=f"{persona_id}-adapter",
            source_run_id=run_id,
            model_type="lora-adapter",
            tags={DIGEST_TAG: digest, **tags},
            params=dict(params),
        )

    @_asks("listing adapter versions")
    def versions(self, persona_id: str) -> list[TrackedVersion]:
        """All versions of a persona's adapter, oldest first."""
        found = self._client.search_model_versions(f"name='{persona_id}'", order_by=["version_number ASC"])
        return [_tracked(version) for version in found]

    @_asks("fetching an adapter")
    def fetch_adapter(self, version: TrackedVersion, destination: Path) -> Path:
        """Brings an adapter's files from the artifact store to this machine."""
        model_id = version.source.removeprefix("models:/")
        from mlflow.artifacts import download_artifacts

        location = self._client.get_logged_model(model_id).artifact_location
        return Path(
            download_artifacts(artifact_uri=location, dst_path=str(destination), tracking_uri=self._client.tracking_uri)
        )

    @_asks("removing an adapter's files")
    def remove_adapter_files(self, version: TrackedVersion, keep: Collection[str]) -> int:
        """Deletes an adapter's files from the artifact store, all but those named; how many bytes they had."""
        location = self._client.get_logged_model(version.source.removeprefix("models:/")).artifact_location
        store = get_artifact_repository(location, tracking_uri=self._client.tracking_uri)
        gone = [item for item in store.list_artifacts() if item.path not in keep]
        for item in gone:
            store.delete_artifacts(item.path)
        return sum(item.file_size or 0 for item in gone)

    @_asks("tagging an adapter version")
    def tag_version(self, persona_id: str, number: int, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            self._client.set_model_version_tag(persona_id, str(number), key, value)

    @_asks("mirroring stages")
    def mirror_stages(self, persona_id: str, aliases: Mapping[str, int | None], stages: Mapping[int, str]) -> None:
        """Makes MLflow show what the ledger says.

        Args:
            aliases: champion, candidate and previous, each with a version number or None.
            stages: MLflow stage by version number: Production, Staging, Archived or None. Upstream calls stages
                deprecated; the tag `stage` says the same and stays.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            held = self._client.get_registered_model(persona_id).aliases
            for alias, number in aliases.items():
                if number is not None:
                    self._client.set_registered_model_alias(persona_id, alias, str(number))
                elif alias in held:
                    self._client.delete_registered_model_alias(persona_id, alias)
            for version in self.versions(persona_id):
                stage = stages.get(version.number, "None")
                if version.stage != stage:
                    self._client.transition_model_version_stage(persona_id, str(version.number), stage)
                    self._client.set_model_version_tag(persona_id, str(version.number), "stage", stage.lower())

    @_asks("reading aliases")
    def aliases(self, persona_id: str) -> dict[str, int]:
        """Alias → version number."""
        return {k: int(v) for k, v in self._client.get_registered_model(persona_id).aliases.items()}

    def _experiment(self, persona_id: str) -> str:
        found = self._client.get_experiment_by_name(persona_id)
        if found:
            return str(found.experiment_id)
        location = (self._artifacts / persona_id).as_uri() if self._artifacts else None
        try:
            return str(self._client.create_experiment(persona_id, artifact_location=location, tags=_SHOWN_AS_TRAINING))
        except MlflowException:
            # Another run of the same persona made it between the look and the creation.
            found = self._client.get_experiment_by_name(persona_id)
            if found is None:
                raise
            return str(found.experiment_id)

    def _ensure_registered_model(self, persona_id: str) -> None:
        if not self._client.search_registered_models(f"name='{persona_id}'", max_results=1):
            self._client.create_registered_model(persona_id, description=f"LoRA adapters of {persona_id}")


def _text_artifacts(store: Any, folder: str | None = None) -> Iterator[str]:
    for item in store.list_artifacts(folder):
        if item.is_dir:
            yield from _text_artifacts(store, item.path)
        elif PurePosixPath(item.path).suffix in _TEXT_SUFFIXES:
            yield str(item.path)


def _remove_half_stored(folder: Path) -> None:
    """What MLflow was writing when its process was killed; it lists none of it."""
    for path in folder.rglob(".artifact.uploading.*"):
        path.unlink()


def _metrics(points: Sequence[tuple[int, str, float]]) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(name, float(value), now, step) for step, name, value in points]


def _tracked(version: Any) -> TrackedVersion:
    return TrackedVersion(
        persona_id=version.name,
        number=int(version.version),
        run_id=version.run_id,
        source=version.source,
        tags=dict(version.tags),
        stage=version.current_stage or "None",
    )
