"""The work pool by name: its slots, its queues with their priorities, and the deployments that run in it.

Imports nothing of Prefect, so that whoever only needs a name does not wait for it.
"""

from __future__ import annotations

POOL = "nabi"
SLOTS = 2
"""Requirement A6: at most two runs at once."""

HIGH, NORMAL, LOW = "high", "normal", "low"
QUEUES = {HIGH: 1, NORMAL: 2, LOW: 3}
"""Queue → priority; 1 goes first."""

LOOP = "continuous-learning/every-six-hours"
BACKFILL = "backfill/by-hand"
UPKEEP = "upkeep/every-hour"
DEPLOYMENTS = (LOOP, BACKFILL, UPKEEP)
"""As Prefect names them, flow/deployment; `prefect.yaml` declares them."""
