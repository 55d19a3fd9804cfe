"""The brain of the platform: which runs wait and why, which go on, which are refused. Decisions only, no Prefect."""
