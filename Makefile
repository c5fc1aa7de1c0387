# Two commands do everything: `make demo` and `make test`. Both work again at once when repeated.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2

.PHONY: help demo test lint types contracts clean

help: ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed ## simulate a world, find its campaigns, write demo/report.html
	$(BIN)/stillwatch demo --out demo

test: $(VENV)/.installed lint types contracts ## the whole test suite with lint, strict types and import contracts
	$(BIN)/python -m pytest -n $(JOBS)

lint: $(VENV)/.installed ## style
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks

types: $(VENV)/.installed ## strict types
	$(BIN)/mypy

contracts: $(VENV)/.installed ## who may import whom
	$(BIN)/lint-imports

clean: ## remove what the two commands made
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
