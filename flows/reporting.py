"""What a process owes Prefect before it ends."""

from __future__ import annotations

from prefect.logging.handlers import APILogHandler


def send_remaining_logs() -> None:
    """Sends the log lines that still wait; to be called while the server is up."""
    APILogHandler().flush()
