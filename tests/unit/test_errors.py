"""Errors that cross a process."""

from __future__ import annotations

import pickle

from nabi.errors import ConfigError, DataError


def test_an_error_comes_back_whole_from_a_pickle() -> None:
    error = ConfigError("there is no preset 'fast'", where="--preset", fix="Choose balanced.")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is ConfigError
    assert str(back) == str(error) == "--preset: there is no preset 'fast' Choose balanced."


def test_an_error_without_place_and_remedy_reads_as_what_is_wrong() -> None:
    assert str(pickle.loads(pickle.dumps(DataError("the log is empty")))) == "the log is empty"
