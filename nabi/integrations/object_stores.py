"""DVC's cache and remotes seen as what they are: stores of objects named by their content.

DVC has no way to take rows out of a version: `gc` only drops whole versions, and every one that MLflow alone knows.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_SNIFFED_BYTES = 4096


class ObjectStores:
    """The cache and the remotes together.

    Args:
        stores: DVC's object databases, the cache first.
    """

    def __init__(self, stores: Sequence[Any]) -> None:
        self._stores = stores

    def ids(self) -> set[str]:
        """What any of them holds."""
        return {oid for store in self._stores for oid in _ids(store)}

    def texts(self) -> Iterator[tuple[str, bytes]]:
        """Every object that is text and no listing of a version, with its id."""
        for oid in sorted(self.ids()):
            if not oid.endswith(".dir") and not self._is_binary(oid):
                yield oid, self.read(oid) or b""

    def versions(self) -> dict[str, list[dict[str, str]]]:
        """Version → its files, each with `md5` and `relpath`."""
        listings = {oid: self.read(oid) for oid in self.ids() if oid.endswith(".dir")}
        return {oid: json.loads(listing) for oid, listing in listings.items() if listing}

    def read(self, oid: str) -> bytes | None:
        """An object's bytes; None when no store has it."""
        for store in self._stores:
            try:
                with store.fs.open(store.oid_to_path(oid), "rb") as file:
                    content: bytes = file.read()
                    return content
            except FileNotFoundError:
                continue
        return None

    def put(self, content: bytes, suffix: str = "") -> str:
        """Adds an object to every store, safe from a power cut where the store is a folder; its id."""
        oid = hashlib.md5(content, usedforsecurity=False).hexdigest() + suffix
        for store in self._stores:
            path = store.oid_to_path(oid)
            if not store.exists(oid):
                store.add_bytes(oid, content)
                store.protect(path)
            if _is_folder(store):
                _flush(Path(path))
        return oid

    def put_version(self, files: list[dict[str, str]]) -> str:
        """Adds the listing of a version, byte by byte as DVC writes it; the version."""
        ordered = sorted(files, key=lambda file: file["relpath"])
        return self.put(json.dumps(ordered, sort_keys=True).encode(), ".dir")

    def delete(self, oid: str) -> None:
        """Removes an object from every store, wherever it still is."""
        for store in self._stores:
            if store.exists(oid):
                store.delete(oid)

    def remove_leftovers(self) -> int:
        """Removes what killed writers left half-done in stores that are folders; how many files those were.

        Nobody else may write meanwhile: the caller holds DVC's lock.
        """
        leftovers = [
            Path(path)
            for store in self._stores
            if _is_folder(store) and Path(store.path).is_dir()
            for path in store.fs.find(store.path)
            if path.endswith(".tmp")
        ]
        for path in leftovers:
            path.unlink()
        return len(leftovers)

    def _is_binary(self, oid: str) -> bool:
        for store in self._stores:
            try:
                with store.fs.open(store.oid_to_path(oid), "rb") as file:
                    return b"\0" in file.read(_SNIFFED_BYTES)
            except FileNotFoundError:
                continue
        return False


def _ids(store: Any) -> Iterator[str]:
    for path in store.fs.find(store.path):
        oid = "".join(Path(path).parts[-2:])
        if len(oid.removesuffix(".dir")) == 32:
            yield oid


def _is_folder(store: Any) -> bool:
    return bool(store.fs.protocol == "local")


def _flush(path: Path) -> None:
    for target in (path, path.parent):
        descriptor = os.open(target, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
