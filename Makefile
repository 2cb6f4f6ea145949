# Everything a person or a machine runs here. Each target sets up what it needs.
#   make demo    every lineage on one page             make test    the tests
#   make check   all that must hold before a commit   make bench   speed and memory tables
#   make fuzz    10,000 damaged files per reader    make soak    100 kills per trainer
#   make tree    what every file is about             make where RECIPE=rna   the files a recipe uses, in order
#   make docs    the pages written from code and results    make site    the documentation as a website, docs/_build/html
#   make format  what `make check` would complain about first

PYTHON ?= python3
VENV ?= .venv
DEMO ?= runs/demo

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1
TWO_PROCESSES := -n 2 --dist loadfile

.PHONY: fuzz soak help setup demo test check format docs site bench tree where clean
help:
	@sed -n '2,7s/^# //p' Makefile

# ---- set-up: once, and again when the requirements change ----------------------------------------------------------

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	@touch $@

# ---- what a visitor types ------------------------------------------------------------------------------------------

demo: $(STAMP)
	$(BIN)/trilineage demo --out $(DEMO)

test: $(STAMP)
	$(ONE_THREAD) $(BIN)/python -m pytest -q $(TWO_PROCESSES)

# ---- what a contributor types --------------------------------------------------------------------------------------

check: $(STAMP)
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(ONE_THREAD) $(BIN)/python -m pytest -q $(TWO_PROCESSES)

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP)
	$(BIN)/python tools/reference.py
	$(BIN)/python tools/python_names.py
	$(BIN)/python tools/benchmarks.py

site: $(STAMP)
	@$(BIN)/python -c 'import furo, myst_parser, sphinx' 2>/dev/null || \
	  $(BIN)/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html in a browser."

fuzz: $(STAMP)
	$(ONE_THREAD) $(BIN)/python tests/fuzz/campaign.py --mutants 10000

soak: $(STAMP)
	$(ONE_THREAD) $(BIN)/python tests/soak/kills.py --kills 100

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py $(ONLY)

tree:
	@$(PYTHON) tools/tree.py

where:
	@$(PYTHON) tools/where.py $(or $(RECIPE),rna)

clean:
	rm -rf $(VENV) $(DEMO) .pytest_cache .mypy_cache .ruff_cache
