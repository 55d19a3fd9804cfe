"""The only module that imports dvc: writing a dataset version and getting an older one back.

`datasets/` is one DVC output, so `datasets.dvc` names what stands in it now. DVC does not guard the folder
while it is being written: a lock of our own spans writing and adding, which is what keeps two runs apart.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from nabi.errors import DataError, TransientError

os.environ.setdefault("DVC_NO_ANALYTICS", "1")  # read when dvc is imported

from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo

_Built = TypeVar("_Built")

_CONFIG = """\
[core]
    no_scm = True
    analytics = False
    check_update = False
    autostage = False
    remote = local
['remote "local"']
    url = {remote}
"""


class DatasetVersions:
    """The versions of everything below `datasets/`, kept by DVC.

    Args:
        home: folder that holds `datasets/`, `datasets.dvc` and `.dvc/`.
        datasets: the folder itself.
        state: where the local remote, the lock and older versions that were asked for lie.
    """

    def __init__(self, home: Path, datasets: Path, state: Path) -> None:
        self.home = home
        self.datasets = datasets
        self._state = state
        self._remote = state / "dvc-remote"
        self._pointer = home / f"{datasets.name}.dvc"

    def current(self) -> str | None:
        """The version that `datasets.dvc` names; None when there is none yet."""
        import yaml

        if not self._pointer.is_file():
            return None
        return str(yaml.safe_load(self._pointer.read_text())["outs"][0]["md5"])

    def save(self, write: Callable[[Path], _Built]) -> tuple[str, _Built]:
        """Lets `write` change the datasets folder, then versions the folder and pushes it.

        Returns:
            The version (an md5 ending in `.dir`) and what `write` returned. Equal bytes give the equal version.
        """
        with self._locked(), _plain_errors():
            self.datasets.mkdir(parents=True, exist_ok=True)
            built = write(self.datasets)
            repo = self._repo()
            stage = repo.add([str(self.datasets)])[0]
            repo.push([str(self._pointer)])
            return str(stage.outs[0].hash_info.value), built

    def checkout(self, version: str, part: str) -> Path:
        """One persona's part of a version, in a folder of its own that nothing changes afterwards.

        Args:
            version: as `save` returned it.
            part: folder below `datasets/`, usually the persona's id.

        Raises:
            DataError: neither cache nor remote holds the version, or it has no such part.
        """
        target = self._state / "checkouts" / version
        if not target.is_dir():
            with self._locked(), _plain_errors():
                self._materialise(version, target)
        folder = target / part
        if not folder.is_dir():
            raise DataError(
                f"dataset version {version} holds nothing for {part}",
                fix=f"It holds: {', '.join(sorted(p.name for p in target.iterdir()))}.",
            )
        return folder

    def restore(self, version: str) -> None:
        """Puts an older version back into `datasets/` and into `datasets.dvc`."""
        with self._locked(), _plain_errors():
            self._write_pointer(self._pointer, version, self.datasets.name)
            self._pull(self._pointer, version)

    def _materialise(self, version: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        # DVC works inside the repository only, so the scratch folder lies there, not in the system's.
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            pointer = Path(scratch) / "version.dvc"
            self._write_pointer(pointer, version, "version")
            self._pull(pointer, version)
            shutil.move(str(Path(scratch) / "version"), target)

    def _write_pointer(self, pointer: Path, version: str, path: str) -> None:
        text = f"outs:\n- md5: {version}\n  hash: md5\n  path: {path}\n"
        handle, name = tempfile.mkstemp(dir=pointer.parent, suffix=".tmp")
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(name).replace(pointer)

    def _pull(self, pointer: Path, version: str) -> None:
        from dvc.exceptions import CheckoutError

        try:
            self._repo().pull([str(pointer)], force=True)
        except (CheckoutError, FileNotFoundError) as error:
            raise DataError(
                f"dataset version {version} is neither in DVC's cache nor in its remote",
                fix="List the known versions with `nabi datasets list`, or pull from the remote that has it.",
            ) from error

    def _repo(self) -> Any:
        config = self.home / ".dvc" / "config"
        if not config.is_file():
            config.parent.mkdir(parents=True, exist_ok=True)
            # Relative to .dvc/, so that the whole installation can be moved.
            config.write_text(_CONFIG.format(remote=os.path.relpath(self._remote, config.parent)))
        self._remote.mkdir(parents=True, exist_ok=True)
        logging.getLogger("dvc").setLevel(logging.ERROR)
        return Repo(str(self.home))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        path = self._state / "locks" / "datasets.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)  # released by the kernel if the process dies
            yield


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except LockError as error:
        raise TransientError(
            f"another process holds DVC's lock: {error}",
            fix="Wait for the other `dvc` command to end; the step is tried again.",
        ) from error
    except DvcException as error:
        raise DataError(f"DVC failed: {error}") from error
