"""`python -m nabi.cli`: the same as the `nabi` command, for an interpreter that is not on the path."""

from nabi.cli import app

app()
