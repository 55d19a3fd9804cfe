"""nabi's metrics as `evaluate` metrics: one a file, offline, with per-sample values beside the mean."""
