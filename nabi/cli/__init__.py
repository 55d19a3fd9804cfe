"""The command line: `nabi …`.

The top of the house, so it may import every floor; each command imports what it needs when it runs, which keeps
`nabi --help` fast.
"""

from nabi.cli.app import app

__all__ = ["app"]
