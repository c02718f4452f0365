# Every target makes what it needs from nothing: Python 3.11 or newer (PYTHON=...), make and a package index suffice.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made
TYPES := build/types

export MPLBACKEND ?= Agg

.DEFAULT_GOAL := help
.PHONY: help test demo lint format types examples docs clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /\1|/' | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'

# The stamp is written last, so an interrupted set-up is repeated, from an empty folder.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "scatc needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

test: $(STAMP)  ## run the tests
	$(BIN)/pytest -n auto $(ARGS)

demo: $(STAMP)  ## compile, run and draw: pictures land in demo_output/
	$(BIN)/scatc demo

lint: $(STAMP)  ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)  ## repair what lint can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# mypy cannot see through an editable installation, and from the repository root it would take ./scatc for all of
# scatc: so it reads a copy, installed beside its dependencies, from a folder that holds nothing else.
types: $(STAMP)  ## check types, on the installed package
	rm -rf $(TYPES) build/lib
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --target $(TYPES) .
	cd $(TYPES) && ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p scatc

examples: $(STAMP)  ## run every example
	@set -e; for script in examples/*.py; do \
	    [ -e "$$script" ] || continue; echo "== $$script"; $(BIN)/python "$$script"; done

docs: $(STAMP)  ## run the documents' code and check that the generated ones are up to date
	$(BIN)/python tests/docs/run_markdown.py README.md docs/*.md
	@set -e; for script in docs/*.py; do \
	    [ -e "$$script" ] || continue; echo "== $$script"; $(BIN)/python "$$script"; done
	$(BIN)/python tests/docs/generated.py $(ARGS)

clean:  ## remove everything the other targets made
	rm -rf $(VENV) build dist *.egg-info demo_output .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './benchmarks/.venv*' -prune -exec rm -rf {} +
