"""An installation with a minute base, three personas and two live adapters, and its server on a port of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served_home import Served, make_home, put_live, serving

from nabi.training.progress import no_progress
from nabi.training.train import train_adapter


@pytest.fixture(scope="session")
def other_adapter(make_job: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A second adapter, of attention only."""
    recipe = {"r": 2, "alpha": 8, "target_modules": ("q_proj", "v_proj")}
    return train_adapter(make_job(tmp_path_factory.mktemp("other"), recipe=recipe), no_progress)


@pytest.fixture(scope="session")
def served(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_base_dir: Path,
    trained_adapter: tuple[Any, Any],
    other_adapter: Any,
) -> Iterator[Served]:
    """nabiyam and mari have an adapter, bare has none."""
    platform = make_home(tmp_path_factory.mktemp("served") / "home", tiny_base_dir.parent, requests_per_minute=100_000)
    digests = {"nabiyam--v1": trained_adapter[1].digest, "mari--v1": other_adapter.digest}
    put_live(platform, "nabiyam--v1", trained_adapter[1].adapter_dir, digests["nabiyam--v1"])
    put_live(platform, "mari--v1", other_adapter.adapter_dir, digests["mari--v1"])
    with serving(platform) as url:
        yield Served(platform, url, digests)
