# Every target makes what it needs from nothing: Python 3.11 or newer (PYTHON=...), make and a package index suffice.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made
MKL_VENV := .venv-mkl
MKL_STAMP := $(MKL_VENV)/.made
TYPES := build/types

export MPLBACKEND ?= Agg
export TF_CPP_MIN_LOG_LEVEL ?= 3

.DEFAULT_GOAL := help
.PHONY: help test test-mkl test-triton kernels demo lint format types examples docs clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1|/' | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'

$(STAMP): EXTRAS := dev
$(MKL_STAMP): EXTRAS := mkl,cuda,test

# The stamp is written last, so an interrupted set-up is repeated, from an empty folder.
$(STAMP) $(MKL_STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "scatc needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

# Tests of a framework that is missing are skipped elsewhere; here all four must be there. The tests of one framework
# stay on one worker (tests/conftest.py), so that not every worker loads all of them.
test: export SCATC_TEST_FRAMEWORKS := torch tensorflow keras jax
# The workers of pytest share the cores, so OpenMP's threads must not spin while they wait.
test: export OMP_WAIT_POLICY := passive
test: $(STAMP)  ## run the tests
	$(BIN)/pytest -n auto --dist loadgroup $(ARGS)

# Where MKL has no wheels, the extra is empty (pyproject.toml). Where it has some, they must work: without this check the
# tests would fall back on SciPy like a user's plans.
test-mkl: $(MKL_STAMP)  ## run the tests that depend on the FFT library, with MKL
	@if $(MKL_VENV)/bin/python -m pip show --quiet mkl_fft 2>/dev/null; then \
	    set -ex; \
	    $(MKL_VENV)/bin/python -c 'from scatc.runtime import fft, mkl; mkl.load(); print(fft.describe())'; \
	    $(MKL_VENV)/bin/pytest -n auto tests/runtime/test_fft.py tests/runtime/test_mkl.py tests/plans $(ARGS); \
	else echo "MKL has no wheels for this platform: nothing to test"; fi

# Triton has an environment without TensorFlow: one process cannot load both, for each brings an LLVM of its own.
test-triton: export SCATC_TEST_FRAMEWORKS := torch triton
test-triton: $(MKL_STAMP)  ## run the tests of GPU kernels: interpreted, and compiled to machine code
	$(MKL_VENV)/bin/pytest -n auto tests/frameworks/test_triton_plan.py tests/frameworks/test_triton_peer.py $(ARGS)

kernels: $(MKL_STAMP)  ## compile all GPU kernels of the benchmarks to machine code, without a GPU
	$(MKL_VENV)/bin/python benchmarks/kernels.py $(ARGS)

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

examples: $(STAMP) $(MKL_STAMP)  ## run every example
	@set -e; for script in examples/*.py; do \
	    [ -e "$$script" ] || continue; echo "== $$script"; \
	    case "$$script" in *_gpu.py) $(MKL_VENV)/bin/python "$$script";; *) $(BIN)/python "$$script";; esac; done

docs: $(STAMP) $(MKL_STAMP)  ## run the documents' code and check that the generated ones are up to date
	$(BIN)/python tests/docs/run_markdown.py README.md $(filter-out docs/gpu.md,$(wildcard docs/*.md))
	$(MKL_VENV)/bin/python tests/docs/run_markdown.py docs/gpu.md
	@set -e; for script in docs/*.py; do \
	    [ -e "$$script" ] || continue; echo "== $$script"; $(BIN)/python "$$script"; done
	$(BIN)/python tests/docs/generated.py $(ARGS)

clean:  ## remove everything the other targets made
	rm -rf $(VENV) $(MKL_VENV) build dist *.egg-info demo_output .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './benchmarks/.venv*' -prune -exec rm -rf {} +
