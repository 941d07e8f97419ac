# `make demo` and `make test` are all a newcomer needs; each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
PIP_OPTIONS := --disable-pip-version-check --quiet
# The tests of these tiers share nothing; those of the last one share servers and a cluster.
IN_PARALLEL := --numprocesses auto --maxprocesses 8 --dist worksteal
# Of the last tier these need no cluster and no server but their own.
INDEPENDENT := $(patsubst %,tests/integration/test_%.py,alert_crashes deadman delivery first_queries pinging replay trying_targets wheel)

.PHONY: help setup demo lab lab-down up test lint types imports unit bench docs agent wheel generated format clean

help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP)  ## Virtual environment from the lock file, with this project in it

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("nomade-pipeline needs Python 3.11 or newer, this is %d.%d; make PYTHON=/path/to/python" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked packages into $(VENV) (some minutes the first time)"
	@$(BIN)/python -m pip install $(PIP_OPTIONS) -r requirements.lock
	@$(BIN)/python -m pip install $(PIP_OPTIONS) --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)  ## This machine's own data through the whole pipeline, then Dagster's UI
	@$(BIN)/nomade demo

lab: $(STAMP)  ## A real Slurm cluster on this machine (root, Debian); docs/lab.md
	@$(BIN)/nomade lab up

lab-down: $(STAMP)  ## End it; its accounting stays
	@$(BIN)/nomade lab down

up: $(STAMP)  ## Agent, Dagster's web server and daemon in the foreground
	@$(BIN)/nomade up

# Threads of numerical libraries that fight for the cores with each other make tests many times slower.
test: export OMP_NUM_THREADS := 1
test: lint types imports  ## Everything: lint, types, import contracts, all four tiers of tests
	$(BIN)/python -m pytest tests/unit tests/contracts $(IN_PARALLEL)
	$(BIN)/python -m pytest tests/shell $(IN_PARALLEL)
	$(BIN)/python -m pytest $(INDEPENDENT) --numprocesses auto --maxprocesses 8 --dist loadfile
	$(BIN)/python -m pytest tests/integration $(INDEPENDENT:%=--ignore=%)

unit: $(STAMP)  ## The fast tier only
	$(BIN)/python -m pytest tests/unit $(IN_PARALLEL)

lint: $(STAMP)  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## mypy, strict
	$(BIN)/mypy

imports: $(STAMP)  ## import-linter contracts
	$(BIN)/lint-imports

format: $(STAMP)  ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## The measured budgets, each as a table
	$(BIN)/python -m benchmarks

generated: $(STAMP)  ## Write the generated documents anew
	$(BIN)/python -m nomade_pipeline.quality.dictionary > docs/data-dictionary.md
	$(BIN)/python -m nomade_pipeline.config.document
	$(BIN)/python -m nomade_pipeline.alerts.document
	$(BIN)/python -m nomade_pipeline.features.document

docs: $(STAMP)  ## Build the manual into build/manual
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

agent: $(STAMP)  ## The agent as one file, dist/nomade-agent.pyz
	$(BIN)/python scripts/build_agent.py dist/nomade-agent.pyz

wheel: $(STAMP)  ## The wheel, into dist/
	$(BIN)/python -m build --wheel --no-isolation

clean:  ## Remove what the targets made
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache
