# Everything a fresh machine needs is python3.11 and make: each target does its own set-up.
PYTHON ?= python3.11
BIN := .venv/bin
SOURCES := pyproject.toml constraints.txt

.PHONY: demo test lint format docs hub clean

demo: .venv/.installed  ## name 700 blood cells by text; results in demo/
	$(BIN)/langcell demo

test: .venv/.installed-dev  ## all tests
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

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

# A packaged model brings files of its own; in the checkout the code of the bundled one is that of the rooms.
hub:  ## link the code of hub_cards/langcell-mini to its sources
	cd hub_cards/langcell-mini && for file in *.py; do ln -sf $$(ls ../../modeling_langcell/$$file ../../processing/$$file 2>/dev/null) $$file; done

.venv/bin/python:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip

# torch first and alone: once the pinned build is there, no other package pulls a different one.
.venv/.installed: .venv/bin/python $(SOURCES)
	@echo "Installing torch and what langcell needs; this takes minutes and says nothing unless something fails ..."
	$(BIN)/python -m pip install -qq -c constraints.txt torch
	$(BIN)/python -m pip install -qq -c constraints.txt -e .
	touch $@

.venv/.installed-dev: .venv/.installed
	$(BIN)/python -m pip install -qq -c constraints.txt -e ".[dev]"
	touch $@

.venv/.installed-docs: .venv/.installed
	$(BIN)/python -m pip install -qq -c constraints.txt -e ".[docs]"
	touch $@

clean:
	rm -rf .venv build demo docs/_build *.egg-info
