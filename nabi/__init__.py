"""How each step of the loop is done, and everything around it. Prefect is met above, in `tasks` and `flows`."""

import os

# Read once, when torch is imported, so before anything else of nabi and for its child processes too. OpenMP threads
# that spin while they wait are slower on busy cores than one thread alone: an evaluation took 167 s instead of 6.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
