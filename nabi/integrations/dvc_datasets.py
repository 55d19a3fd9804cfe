"""The only module that imports dvc: writing a dataset version and getting an older one back.

`datasets/` is one DVC output, so `datasets.dvc` names what stands in it now. DVC does not guard the folder
while it is being written: a lock of our own spans writing and adding, which is what keeps two runs apart.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from nabi.datasets.files import recover_folder, replace_folder
from nabi.error_kinds import Kind, kind_of
from nabi.errors import DataError, NoSpaceError, TransientError
from nabi.file_lock import locked
from nabi.integrations.object_stores import ObjectStores

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


_VERSION = re.compile(r"[0-9a-f]{32}\.dir")
_GONE = ".gone-"
_UNUSED = timedelta(days=2)
_LITTLE_SPACE = 2**20


@dataclass(frozen=True)
class Purge:
    """What to take out of every version, and whom to tell.

    Args:
        holds: whether a file's content is concerned.
        clean: one persona's files (name → bytes) as they should be; equal files give equal bytes.
        replaced: called with a version and what takes its place, before the old one is deleted. None when it cannot be
            written anew because some of its files are gone.
        known: what `replaced` was told in an earlier, interrupted call.
        note: called with lines of place, name and number before anything else is deleted.
    """

    holds: Callable[[bytes], bool]
    clean: Callable[[Mapping[str, bytes]], dict[str, bytes]]
    replaced: Callable[[str, str | None], None]
    known: Mapping[str, str | None]
    note: Callable[[list[tuple[str, str, int]]], None]


class DatasetVersions:
    """The versions of everything below `datasets/`, kept by DVC.

    Args:
        home: folder that holds `datasets/`, `datasets.dvc` and `.dvc/`.
        datasets: the folder itself.
        state: where the local remote, the lock and older versions that were asked for lie.
        newest: the version that took a version's place, or the same version; deletions replace versions.
    """

    def __init__(
        self, home: Path, datasets: Path, state: Path, newest: Callable[[str], str] = lambda version: version
    ) -> None:
        self.home = home
        self.datasets = datasets
        self._newest = newest
        self._state = state
        self._remote = state / "dvc-remote"
        self._pointer = home / f"{datasets.name}.dvc"

    def current(self) -> str | None:
        """The version that `datasets.dvc` names; None when there is none yet."""
        # Half of a pointer is one that DVC is writing, or was killed over: then the one before counts.
        return _named_in(self._pointer) or _named_in(_before(self._pointer))

    def save(self, write: Callable[[Path], _Built]) -> tuple[str, _Built]:
        """Lets `write` change the datasets folder, then versions the folder and pushes it.

        Returns:
            The version (an md5 ending in `.dir`) and what `write` returned. Equal bytes give the equal version.
        """
        with self._locked(), _plain_errors():
            self.datasets.mkdir(parents=True, exist_ok=True)
            built = write(self.datasets)
            return self._add(self._repo(), self.datasets, self._pointer), built

    def save_aside(self, write: Callable[[Path], object], base: str | None) -> str:
        """Makes a version beside the datasets folder: that folder and `datasets.dvc` stay as they are.

        Args:
            write: changes the folder that it is given, which holds `base`.
            base: the version to begin with; None for an empty folder.

        Raises:
            DataError: neither cache nor remote holds `base`.
        """
        checkouts = self._state / "checkouts"
        with self._locked(), _plain_errors():
            checkouts.mkdir(parents=True, exist_ok=True)
            # What a killed process leaves here is removed by the next deletion.
            with tempfile.TemporaryDirectory(dir=checkouts) as scratch:
                folder = Path(scratch) / self.datasets.name
                pointer = folder.with_suffix(".dvc")
                if base is None:
                    folder.mkdir()
                else:
                    self._write_pointer(pointer, self._newest(base), folder.name)
                    self._pull(pointer, base)
                write(folder)
                return self._add(self._repo(), folder, pointer)

    def _add(self, repo: Any, folder: Path, pointer: Path) -> str:
        """Versions a folder and pushes it."""
        with _whole(pointer):
            stage = repo.add([str(folder)])[0]
            _ensure_stored(stage.outs[0], folder)
        repo.push([str(pointer)])
        return str(stage.outs[0].hash_info.value)

    def checkout(self, version: str, part: str) -> Path:
        """One persona's part of a version, in a folder of its own that nothing changes afterwards.

        Args:
            version: as `save` returned it.
            part: folder below `datasets/`, usually the persona's id.

        Raises:
            DataError: neither cache nor remote holds the version, or it has no such part.
        """
        version = self._newest(version)
        target = self._state / "checkouts" / version
        if not _used_lately(target):
            with self._locked(), _plain_errors():
                if target.is_dir():
                    os.utime(target)
                else:
                    self._materialise(version, target)
        folder = target / part
        if not folder.is_dir():
            raise DataError(
                f"dataset version {version} holds nothing for {part}",
                fix=f"It holds: {', '.join(sorted(p.name for p in target.iterdir()))}.",
            )
        return folder

    def drop_unused_checkouts(self) -> int:
        """Removes checkouts that nobody asked for in two days, and what killed writers left there; how many bytes.

        Each holds a whole version, every persona's part. `checkout` makes it again.
        """
        with self._locked(), _plain_errors():
            # What was handed out without this lock was made or asked for less than a day before (`_used_lately`).
            old = time.time() - _UNUSED.total_seconds()
            unused = [
                folder
                for folder in _folders_in(self._state / "checkouts")
                if folder.stat().st_mtime < old or not _VERSION.fullmatch(folder.name)
            ]
            num_bytes = sum(file.stat().st_size for folder in unused for file in folder.rglob("*") if file.is_file())
            for folder in unused:
                _remove_checkout(folder)
            return num_bytes

    def restore(self, version: str) -> None:
        """Puts an older version back into `datasets/` and into `datasets.dvc`."""
        version = self._newest(version)
        with self._locked(), _plain_errors():
            self._write_pointer(self._pointer, version, self.datasets.name)
            self._pull(self._pointer, version)

    def parts(self) -> dict[str, dict[str, str]]:
        """Version → persona → digest of that persona's files; versions with the same digest hold the same rows."""
        with self._locked(), _plain_errors():
            listed: dict[str, dict[str, list[str]]] = {}
            for version, files in self._stores(self._repo()).versions().items():
                for file in sorted(files, key=lambda file: file["relpath"]):
                    named = f"{file['md5']} {file['relpath']}"
                    listed.setdefault(version, {}).setdefault(_folder_of(file), []).append(named)
        return {
            version: {part: hashlib.sha256("\n".join(names).encode()).hexdigest() for part, names in parts.items()}
            for version, parts in listed.items()
        }

    def contents(self) -> Iterator[bytes]:
        """Every text that any version, the datasets folder or a checkout holds, wherever it lies; some come twice."""
        with self._locked(), _plain_errors():
            for _oid, content in self._stores(self._repo()).texts():
                yield content
            for folder in (self.datasets, self._state / "checkouts"):
                for path in sorted(folder.rglob("*")):
                    if path.is_file():
                        yield path.read_bytes()

    def purge(self, purge: Purge) -> None:
        """Writes every version anew that holds what must go, then deletes the old one from cache and remotes.

        Other versions stay as they are. Interrupted anywhere, the same call finishes the work.
        """
        with self._locked(), _plain_errors():
            repo = self._repo()
            with repo.lock:
                stores = self._stores(repo)
                tainted = {oid for oid, content in stores.texts() if purge.holds(content)}
                known = {**purge.known, **_rewrite_versions(stores, tainted, purge)}
            self._purge_workspace(repo, known, purge)
            with repo.lock:
                _delete_old(stores, tainted, known, purge)
                self._purge_checkouts(known, purge)
                self._forget_remote_listings(repo)

    def _purge_workspace(self, repo: Any, known: Mapping[str, str | None], purge: Purge) -> None:
        """The datasets folder and its pointer; what killed writers left beside the folders is finished or removed."""
        if not self.datasets.is_dir():
            return
        names = {
            path.name.removeprefix(".").removesuffix(".fresh").removesuffix(".aside")
            for path in _folders_in(self.datasets)
        }
        touched = self.current() in known
        for folder in (self.datasets / name for name in sorted(names)):
            recover_folder(folder)
            files = {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}
            num = sum(map(purge.holds, files.values()))
            if num:
                purge.note([("datasets folder", folder.name, num)])
                replace_folder(folder, purge.clean(files))
                touched = True
        if touched:
            self._add(repo, self.datasets, self._pointer)

    def _purge_checkouts(self, known: Mapping[str, str | None], purge: Purge) -> None:
        for folder in _folders_in(self._state / "checkouts"):
            files = [path for path in folder.rglob("*") if path.is_file()]
            is_scratch = not _VERSION.fullmatch(folder.name)  # we hold the lock: whoever wrote it is dead
            if is_scratch or folder.name in known or any(purge.holds(path.read_bytes()) for path in files):
                if not folder.name.startswith(_GONE):
                    purge.note([("checkout", folder.name, len(files))])
                _remove_checkout(folder)

    def _stores(self, repo: Any) -> ObjectStores:
        remotes = [repo.cloud.get_remote_odb(name) for name in repo.config["remote"]]
        return ObjectStores([repo.cache.local, *remotes])

    def _forget_remote_listings(self, repo: Any) -> None:
        """DVC remembers what a remote holds and would not push again what it believes to be there."""
        from dvc_data.hashfile.db import get_index

        for name in repo.config["remote"]:
            get_index(repo.cloud.get_remote_odb(name)).clear()

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

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self._state / "locks" / "datasets.lock")


def _used_lately(checkout: Path) -> bool:
    try:
        return time.time() - checkout.stat().st_mtime < timedelta(days=1).total_seconds()
    except FileNotFoundError:
        return False


def _remove_checkout(folder: Path) -> None:
    # Renamed first: half a checkout under its own name would be taken for a whole one.
    aside = folder.with_name(_GONE + folder.name.removeprefix(_GONE))
    folder.rename(aside)
    shutil.rmtree(aside)


def _ensure_stored(out: Any, folder: Path) -> None:
    """DVC only logs a file that it could not copy into its cache, and names the version all the same."""
    if not out.changed_cache():
        return
    if shutil.disk_usage(folder).free < _LITTLE_SPACE:
        raise NoSpaceError("no space was left for DVC's cache.", where=str(folder), fix="Free some space, run again.")
    raise TransientError("DVC could not store the dataset in its cache", where=str(folder), fix="It is tried again.")


@contextmanager
def _whole(pointer: Path) -> Iterator[None]:
    """DVC writes a pointer in place: after an error, or a kill that left half of it, the one before is back."""
    before = _before(pointer)
    _recover(pointer)
    if pointer.is_file():
        shutil.copyfile(pointer, before)  # now, since putting it back must not need space
    try:
        yield
    except BaseException:
        if before.is_file():
            before.replace(pointer)
        else:
            pointer.unlink(missing_ok=True)
        raise
    before.unlink(missing_ok=True)


def _recover(pointer: Path) -> None:
    before = _before(pointer)
    if pointer.is_file() and _named_in(pointer) is None:
        if before.is_file():
            before.replace(pointer)
        else:
            pointer.unlink()
    before.unlink(missing_ok=True)


def _before(pointer: Path) -> Path:
    return pointer.with_name(f".{pointer.name}.before")


def _named_in(pointer: Path) -> str | None:
    """The version that a pointer names; None when it is missing or not whole."""
    import yaml

    try:
        read = yaml.safe_load(pointer.read_text(encoding="utf-8"))
        version = str(read["outs"][0]["md5"])
    except (FileNotFoundError, yaml.YAMLError, TypeError, KeyError, IndexError):
        return None
    return version if _VERSION.fullmatch(version) else None


def _rewrite_versions(stores: ObjectStores, tainted: set[str], purge: Purge) -> dict[str, str | None]:
    """Old version → new version, each told to `purge.replaced` once the new one is whole."""
    replaced: dict[str, str | None] = {}
    for version, files in sorted(stores.versions().items()):
        if version not in purge.known and any(file["md5"] in tainted for file in files):
            replaced[version] = _rewrite_version(stores, files, tainted, purge)
            purge.replaced(version, replaced[version])
    return replaced


def _rewrite_version(stores: ObjectStores, files: list[dict[str, str]], tainted: set[str], purge: Purge) -> str | None:
    """Adds the version without what must go; None when one of the files to be cleaned is nowhere."""
    concerned = {_folder_of(file) for file in files if file["md5"] in tainted}
    left = [file for file in files if _folder_of(file) not in concerned]
    for folder in sorted(concerned):
        content = {_name_of(file): stores.read(file["md5"]) for file in files if _folder_of(file) == folder}
        whole = {name: body for name, body in content.items() if body is not None}
        if len(whole) < len(content):
            return None
        for name, body in purge.clean(whole).items():
            left.append({"md5": stores.put(body), "relpath": f"{folder}/{name}".lstrip("/")})
    return stores.put_version(left)


def _delete_old(stores: ObjectStores, tainted: set[str], known: Mapping[str, str | None], purge: Purge) -> None:
    """What held the rows, the old versions' listings, and what only those versions used."""
    versions = stores.versions()
    used = {file["md5"] for version, files in versions.items() if version not in known for file in files}
    only_old = {file["md5"] for version, files in versions.items() if version in known for file in files} - used
    held = stores.ids()
    old = [*sorted((tainted | only_old) & held), *sorted(set(known) & held)]
    purge.note([("DVC cache and remotes", oid, 1) for oid in old])
    # Listings last: they tell an interrupted call which files only they used.
    for oid in old:
        stores.delete(oid)
    stores.remove_leftovers()


def _folder_of(file: Mapping[str, str]) -> str:
    return file["relpath"].rpartition("/")[0]


def _name_of(file: Mapping[str, str]) -> str:
    return file["relpath"].rpartition("/")[2]


def _folders_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir())


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except DvcException as error:
        if isinstance(error, LockError):
            raise TransientError(
                f"another process holds DVC's lock: {error}",
                fix="Wait for the other `dvc` command to end; the step is tried again.",
            ) from error
        if kind_of(error) is Kind.TRANSIENT:
            raise TransientError(
                f"DVC's remote could not be reached: {error}", fix="Check the remote in .dvc/config; nothing was lost."
            ) from error
        raise DataError(f"DVC failed: {error}") from error
