# Every command that a person or a script needs; `make help` lists them. The environment is made in .venv.

PYTHON ?= python3
BIN := .venv/bin
LOCKED := --quiet --disable-pip-version-check --require-hashes

.PHONY: help demo test test-all lint bench lock docs debian-packages clean
.DEFAULT_GOAL := help

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

demo: .venv/run.stamp ## Setpoint and a small shop that you can break, in one command
	@exec $(BIN)/setpoint demo

test: .venv/dev.stamp debian-packages ## everything that is tested: style, types, architecture, unit to browser
	@$(BIN)/python -m tools.check lint
	@$(BIN)/python -m tools.check test

lint: .venv/dev.stamp ## style, types and architecture only
	@$(BIN)/python -m tools.check lint

bench: .venv/dev.stamp ## the benchmarks; their results go to bench/RESULTS.md by hand
	@for question in footprint detection ingest disk restart query datasource objectives adjustments paging; do $(BIN)/python -m bench.$$question || exit 1; done

docs: .venv/dev.stamp ## write the generated parts of docs/reference
	@$(BIN)/python -m tools.reference

lock: .venv/dev.stamp ## choose the newest versions that pyproject.toml allows and pin them with hashes
	@$(BIN)/python -m tools.lock

debian-packages:
	@sh tools/debian-packages.sh

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Setpoint needs Python 3.11 or newer; give it with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { [ "$$(id -u)" = 0 ] && apt-get install -y -qq python3-venv; } || { echo "Python's venv module is missing; install it with: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/run.stamp: requirements.lock pyproject.toml | .venv/bin/python
	@echo "Installing Setpoint into .venv (once; a minute or two) …"
	@$(BIN)/pip install $(LOCKED) -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/setpoint warm
	@touch $@

.venv/dev.stamp: .venv/run.stamp requirements-dev.lock
	@echo "Installing the test tools into .venv …"
	@$(BIN)/pip install $(LOCKED) -r requirements-dev.lock
	@touch $@

clean: ## remove the environment and everything generated; data stays
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis artifacts
