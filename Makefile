# Each target says what it needs; a fresh machine with Python 3.11 needs nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
DATA ?= $(LILLIPUT_DATA)

.PHONY: demo test test-slow check results clean

demo: $(VENV)/.demo  ## compress a net on scikit-learn's digits, print the family, write the report
	$(BIN)/lilliput compress examples/digits.py --max-drop 1% --target onnxruntime-cpu --time-budget 90s --out runs/digits
	$(BIN)/lilliput report runs/digits

test: $(VENV)/.dev  ## all fast tests
	$(BIN)/python -m pytest --numprocesses auto

test-slow: $(VENV)/.dev  ## the rest; LILLIPUT_DATA names the folder of data and weights
	$(BIN)/python -m pytest -m slow

check: $(VENV)/.dev  ## format, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

results:  ## the pages' tables and pictures, from benchmarks/results/*.json
	$(PYTHON) benchmarks/tables.py
	$(PYTHON) benchmarks/pictures.py

$(VENV)/.python:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP) torch --editable '.[examples]'
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) torch --editable '.[examples,litert,dev]'
	touch $@

clean:
	rm -rf $(VENV) runs out build
