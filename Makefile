# Everything a fresh machine needs is make and a Python of 3.11 to 3.13: each target does its own set-up.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do $$name -c '$(SUPPORTED)' 2>/dev/null && echo $$name && break; done)
BIN := .venv/bin
SOURCES := pyproject.toml constraints.txt constraints-3.12.txt
# The versions that belong to the Python of .venv.
PINS = -c $$($(BIN)/python -c 'import sys; print("constraints.txt" if sys.version_info < (3, 12) else "constraints-3.12.txt")')

.PHONY: demo test lint format docs hub matrix matrix-fast matrix-fast-install release-dry-run clean

demo: .venv/.installed  ## name 700 blood cells by text; results in demo/
	$(BIN)/langcell demo

test: .venv/.installed-dev  ## all tests
	$(BIN)/python -m pytest -q -n 3 --dist worksteal

lint: .venv/.installed-dev  ## style, import rules and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

format: .venv/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.installed-docs  ## the site of docs/, in docs/_build; a warning is an error
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build

matrix: .venv-matrix/.installed  ## every supported version: hours of downloads and tests; results in matrix/
	.venv-matrix/bin/nox -s hub stack common

matrix-fast: matrix-fast-install  ## the lowest version of everything on Python 3.11: annotate, and the Hub folder
	.venv-matrix/bin/nox -R -s fast

matrix-fast-install: .venv-matrix/.installed
	.venv-matrix/bin/nox -s fast --install-only

.venv-matrix/.installed: noxfile.py
	$(PYTHON) -m venv .venv-matrix
	.venv-matrix/bin/python -m pip install -qq "nox>=2025.5" "uv>=0.9"
	touch $@

release-dry-run:  ## build, check, install from a local index and run; nothing is uploaded
	PYTHON=$(PYTHON) bash .github/release_dry_run.sh

# A packaged model brings files of its own; in the checkout the code of the bundled one is that of the rooms.
hub:  ## link the code of hub_cards/langcell-mini to its sources
	cd hub_cards/langcell-mini && for file in *.py; do ln -sf $$(ls ../../modeling_langcell/$$file ../../processing/$$file 2>/dev/null) $$file; done

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "No Python of 3.11 to 3.13 is on the path; name one: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

# torch first and alone: once the pinned build is there, no other package pulls a different one.
.venv/.installed: .venv/bin/python $(SOURCES)
	@echo "Installing torch and what langcell needs; this takes minutes and says nothing unless something fails ..."
	$(BIN)/python -m pip install -qq $(PINS) torch
	$(BIN)/python -m pip install -qq $(PINS) -e .
	touch $@

.venv/.installed-dev: .venv/.installed
	$(BIN)/python -m pip install -qq $(PINS) -e ".[dev]"
	touch $@

.venv/.installed-docs: .venv/.installed
	$(BIN)/python -m pip install -qq $(PINS) -e ".[docs]"
	touch $@

clean:
	rm -rf .venv .venv-matrix .nox matrix build dist demo docs/_build *.egg-info
