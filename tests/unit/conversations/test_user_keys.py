from __future__ import annotations

import hashlib
import hmac
import stat
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nabi.conversations.keys import load_or_create_key, user_key
from nabi.errors import ConfigError


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "var" / "users.key"
    key = load_or_create_key(path)
    assert len(key) == 32
    assert load_or_create_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_many_that_make_the_key_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(load_or_create_key, [tmp_path / "users.key"] * 16))
    assert len(keys) == 1


def test_a_key_that_others_can_read_is_narrowed(tmp_path: Path) -> None:
    path = tmp_path / "users.key"
    load_or_create_key(path)
    path.chmod(0o644)
    load_or_create_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_damaged_key_is_not_replaced(tmp_path: Path) -> None:
    """A new one would silently cut every user off from what is stored of them."""
    path = tmp_path / "users.key"
    path.write_bytes(b"short")
    with pytest.raises(ConfigError, match="5 bytes and needs 32"):
        load_or_create_key(path)
    assert path.read_bytes() == b"short"


def test_a_place_that_cannot_be_written_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used"):
        load_or_create_key(tmp_path / "file" / "users.key")


def test_the_hash_is_hmac_sha256_of_the_composed_id() -> None:
    key = b"k" * 32
    expected = hmac.new(key, "민지".encode(), hashlib.sha256).hexdigest()
    assert user_key("민지", key) == expected
    assert user_key(unicodedata.normalize("NFD", "민지"), key) == expected
    assert user_key("민지", b"x" * 32) != expected
