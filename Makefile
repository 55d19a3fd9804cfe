# The two commands of the README, and what they are made of.
PYTHON ?= python3
BIN := .venv/bin

export HF_HUB_OFFLINE ?= 1
# Dozens of processes are started; each would compile a thousand modules anew (4 s instead of 2 for a run of the loop).
export PYTHONDONTWRITEBYTECODE :=
export DVC_NO_ANALYTICS := 1

.DEFAULT_GOAL := help
.PHONY: help setup run up test resilience check lint types imports bench clean

help: ## what there is to run
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: .venv/.installed ## the virtual environment with the locked versions

.venv/.installed: requirements.lock pyproject.toml scripts/setup.py
	@$(PYTHON) scripts/setup.py
	@touch $@

run: setup ## from thin logs to a chatbot that improved itself: four windows of the loop
	@$(BIN)/nabi tour

up: setup ## the whole platform on this machine: servers, worker, schedules
	@$(BIN)/nabi up

# Three files at a time on two cores: many tests wait for servers and child processes. The longest come first.
# Hypothesis' examples are the same each time; NABI_EXAMPLES=20 looks for new ones.
test: setup ## the tests
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

resilience: setup ## the long forms: hundreds of kills (hours; NABI_ROUNDS=1 is a part)
	NABI_LONG=1 $(BIN)/python -m pytest -s -o timeout=7200 tests/resilience

check: lint types imports ## lint, types and the direction of imports

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

bench: setup ## time of each step of one pass
	$(BIN)/python benchmarks/one_pass.py steps command platform

clean: ## removes what runs made; keeps the virtual environment
	rm -rf var mlruns datasets output .dvc/cache .dvc/tmp
