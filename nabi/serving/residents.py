"""Which adapters are in the slots: the least recently used one makes room, but none that is speaking."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nabi.errors import ModelError
from nabi.serving.blocks import BARE
from nabi.serving.reading import AdapterReader, Rooms
from nabi.serving.slots import AdapterSlots
from nabi.training.adapter import AdapterManifest
from nabi.training.base_model import BaseRef


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter version that may speak: its immutable name, the sha256 of its weights, and where they lie."""

    name: str
    digest: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Checked:
    """An adapter read from the disk, verified, and not yet in a slot. Good for one `begin`."""

    adapter: Adapter
    manifest: AdapterManifest
    tensors: Mapping[str, Any]


class Slots(Rooms, Protocol):
    """Where adapters lie, by number from 1: in this process, or in that of another server."""

    num_slots: int

    def write(self, slot: int, manifest: AdapterManifest, tensors: Mapping[str, Any], *, where: Path) -> None: ...


class Residents:
    """Adapters in slots, by name. Written by the one thread that computes; others may ask what is there.

    Args:
        slots: where they lie.
        base: which base they must be made for.
        max_bytes: what the slots may take, instead of their number: there are as many as fit, each as large as the
            largest adapter so far needs. None keeps to the number.
        evicted: is told the name of an adapter that is not in a slot any more.
    """

    def __init__(
        self,
        slots: Slots,
        base: BaseRef,
        *,
        max_bytes: int | None = None,
        evicted: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self.slots = slots
        self._reader = AdapterReader(base, slots)
        self._max_bytes = max_bytes
        self._evicted = evicted
        self._held: OrderedDict[str, tuple[int, str]] = OrderedDict()  # name → slot, digest; the latest used last
        self._free = list(range(slots.num_slots, BARE, -1))
        self._speaking: Counter[str] = Counter()
        self._kept: frozenset[str] = frozenset()
        self.num_loaded = 0
        self.num_evicted = 0

    def __contains__(self, name: str) -> bool:
        return name in self._held

    @property
    def digests(self) -> dict[str, str]:
        """Name → digest of what is in the slots, the least recently used first."""
        return {name: digest for name, (_, digest) in list(self._held.items())}

    def read(self, adapter: Adapter) -> Checked:
        """Read and verify an adapter, for `begin`; it may wait for the disk, so not for the thread that computes.

        Raises:
            ModelError: it fails `verify_adapter`, or its weights are not those that its version was registered with.
        """
        manifest, tensors = self._reader.read(adapter.folder)
        if manifest.weights_sha256 != adapter.digest:
            raise ModelError(
                f"{adapter.name} was registered with digest {adapter.digest[:12]}, and its folder holds "
                f"{manifest.weights_sha256[:12]}",
                where=str(adapter.folder),
                fix="Remove the folder: it is fetched again from the artifact store.",
            )
        return Checked(adapter, manifest, tensors)

    def keep(self, names: Iterable[str]) -> None:
        """Adapters that make room only when nothing else can: the champions."""
        self._kept = frozenset(names)

    def begin(self, adapter: Adapter | None, checked: Checked | None = None) -> int | None:
        """The slot of an adapter that begins to speak, loaded if need be; None while every slot is speaking.

        Args:
            adapter: None for the bare base, which is always there.
            checked: the adapter as read before; it is read here when that is missing.

        Raises:
            ModelError: it cannot be loaded, or its name is taken by other weights.
        """
        if adapter is None:
            return BARE
        if adapter.name not in self._held and not self._load(adapter, checked):
            return None
        slot, digest = self._held[adapter.name]
        if digest != adapter.digest:
            raise ModelError(
                f"another adapter is loaded as {adapter.name!r}",
                fix="A served name is immutable: give each adapter version its own name.",
            )
        self._held.move_to_end(adapter.name)
        self._speaking[adapter.name] += 1
        return slot

    def end(self, adapter: Adapter | None) -> None:
        """One of those that `begin` let speak has finished."""
        if adapter is not None:
            self._speaking[adapter.name] -= 1

    def _load(self, adapter: Adapter, checked: Checked | None) -> bool:
        read = checked or self.read(adapter)
        slot = self._room() if self._fits(read) else None
        if slot is None:
            return False
        try:
            self.slots.write(slot, read.manifest, read.tensors, where=adapter.folder)
        except BaseException:
            self._free.append(slot)
            raise
        self._held[adapter.name] = (slot, adapter.digest)
        self.num_loaded += 1
        return True

    def _fits(self, read: Checked) -> bool:
        """Lays out as many slots as the bytes allow once this adapter is among them; False while one too many speaks.

        Raises:
            ModelError: not even this adapter alone fits.
        """
        if self._max_bytes is None:
            return True
        assert isinstance(self.slots, AdapterSlots)  # the size of slots elsewhere is theirs to know
        each = self.slots.slot_bytes_with(read.manifest, read.tensors, where=read.adapter.folder)
        allowed = self._max_bytes // each - 1  # the empty slot of the bare base takes its place too
        if allowed < 1:
            raise ModelError(
                f"{read.adapter.name} takes {each} bytes in memory, twice with the empty slot, and adapters may take "
                f"{self._max_bytes}",
                where=str(read.adapter.folder),
                fix="Set NABI_ADAPTER_MEMORY_MB higher, or train with a smaller recipe.r.",
            )
        last = self.slots.num_slots
        beyond = [name for name, (slot, _) in self._held.items() if slot > allowed]
        if any(self._speaking[name] > 0 for name in beyond):
            return False
        for name in beyond:
            self._evict(name)
        self._free = [*range(allowed, last, -1), *(slot for slot in self._free if slot <= allowed)]
        if allowed != last:
            self.slots.add_slots(allowed - last)
        return True

    def _room(self) -> int | None:
        """A free slot, or that of the least recently used adapter which is silent; the champions go last."""
        if self._free:
            return self._free.pop()
        silent = [name for name in self._held if self._speaking[name] <= 0]
        name = next((name for name in silent if name not in self._kept), next(iter(silent), None))
        if name is None:
            return None
        return self._evict(name)

    def _evict(self, name: str) -> int:
        slot, _ = self._held.pop(name)
        del self._speaking[name]
        self.num_evicted += 1
        self._evicted(name)
        return slot
