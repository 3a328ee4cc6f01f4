# Everything sets up .venv by itself; the second time it is there already.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?= freqs=0..14
BENCH ?= results 1e6 1e7
MACHINES ?=

# Two tests at a time, those of a file after each other: most of them wait for processes.
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile

.PHONY: sweep test test-slow reliability lint claims gallery bench clean

sweep: .venv/.installed
	@$(BIN)/python -m pipeline sweep $(ARGS)

test: .venv/.tested
	$(PYTEST) -m "not slow and not long"

# Clients, workers and schedulers that are killed, stopped, or not what they should be.
test-slow: .venv/.tested
	$(PYTEST) -m "slow and not long"

# Machines that look for faults, each for a minute: make reliability MACHINES="calls --seconds 600".
reliability: .venv/.tested
	PYTHONPATH=tests $(BIN)/python -m reliability $(MACHINES)

lint: .venv/.tested
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

claims: .venv/.installed
	$(BIN)/python -m pipeline claims to=results

gallery: .venv/.installed
	$(BIN)/python docs/gallery.py

bench: .venv/.installed
	$(BIN)/python benchmarks/run.py $(BENCH)

clean:
	rm -rf .venv build dist

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -m venv .venv || \
	    { rm -rf .venv; echo "venv is missing: apt-get install python3-venv"; exit 2; }

.venv/.installed: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing the program and what it needs into .venv: about a minute."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/.tested: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,lint]'
	@touch $@
