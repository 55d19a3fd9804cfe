"""The work pool by name: its slots, its queues with their priorities, and the deployments that run in it.

Imports nothing of Prefect, so that whoever only needs a name does not wait for it.
"""

from __future__ import annotations

from nabi.control.runs import HIGH, LOW, NORMAL, QUEUES

__all__ = ["BACKFILL", "DEPLOYMENTS", "HIGH", "LOOP", "LOW", "NORMAL", "POOL", "QUEUES", "SLOTS", "UPKEEP"]

POOL = "nabi"
SLOTS = 2
"""Requirement A6: at most two runs at once."""


LOOP = "continuous-learning/every-six-hours"
BACKFILL = "backfill/by-hand"
UPKEEP = "upkeep/every-hour"
DEPLOYMENTS = (LOOP, BACKFILL, UPKEEP)
"""As Prefect names them, flow/deployment; `prefect.yaml` declares them."""
