"""The chat server: HTTP around `nabi.serving`, on the floor of the command line."""
