# make run    set everything up and serve on http://127.0.0.1:8080
# make test   set everything up and run every test
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FUZZ_SECONDS ?= 600
MAICIVY_SITE_DIR ?= examples/site
export MAICIVY_SITE_DIR

.PHONY: help run test lint tracker chaos sabotage audit fuzz bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: $(VENV)/.run ## serve with an embedded PostgreSQL and Redis
	@exec $(BIN)/python run.py

test: $(VENV)/.test ## run every test
	@env -u MAICIVY_SITE_DIR $(BIN)/python -m pytest --numprocesses=auto --dist=loadfile \
	  --cov=maicivy --cov-report=term

lint: $(VENV)/.test ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

tracker: $(VENV)/.test ## make the tracker's small file of its source
	@$(BIN)/python -m tests.minify

chaos: $(VENV)/.test ## break everything on purpose and judge; writes the table in docs/reliability.md
	@env -u MAICIVY_SITE_DIR $(BIN)/python -m tests.chaos $(CHAOS)

sabotage: $(VENV)/.test ## break the product, line by line, and see the tests turn red
	@env -u MAICIVY_SITE_DIR $(BIN)/python -m tests.sabotage

audit: $(VENV)/.audit ## ask the advisory databases about what is installed
	$(BIN)/pip-audit --strict --skip-editable

bench: $(VENV)/.test ## measure everything, for an hour; writes bench/RESULTS.md and its chart
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@env -u MAICIVY_SITE_DIR $(BIN)/python -m bench $(BENCH)

fuzz: $(VENV)/.test ## look for a body that breaks the parser (FUZZ_SECONDS=600)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	@mkdir -p build/fuzz
	@$(BIN)/python -m tests.fuzz.fuzz_body -max_total_time=$(FUZZ_SECONDS) -max_len=4096 \
	  -artifact_prefix=build/fuzz/ -dict=tests/fuzz/body.dict build/fuzz

clean: ## remove the virtual environment, caches and build products; data/ stays
	rm -rf $(VENV) build dist *.egg-info .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "maicivy needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Installed again whenever setup.cfg changes.
$(VENV)/.run: $(BIN)/python setup.cfg pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[embedded,speed]'
	@touch $@

$(VENV)/.test: $(BIN)/python setup.cfg pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[embedded,test]'
	@touch $@ $(VENV)/.run

$(VENV)/.audit: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[audit]'
	@touch $@
