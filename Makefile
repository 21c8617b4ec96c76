# make demo: environment, then the whole job on procedural subjects. make test: every check.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export PYTHONUNBUFFERED := 1

.PHONY: demo demo-full test lint clean

demo: $(VENV)/installed
	sh examples/demo.sh demo 1024 1536 512 128 15 6

demo-full: $(VENV)/installed
	sh examples/demo.sh demo-full 4096 6144 1536 384 64 3

test: lint
	$(BIN)/pytest -n 2 --dist loadfile

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install -q -e .
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install -q -e '.[dev]'
	touch $@ $(VENV)/installed

clean:
	rm -rf demo demo-full runs
