# make run: the use case. make test: every check. Both need nothing but Python 3.11 and make.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
MANAGED ?= ./managed
STAMP := $(VENV)/.installed

.PHONY: run test lint test-slow schemas clean

run: $(STAMP)
	@test -d $(MANAGED) || $(BIN)/gridlink init $(MANAGED) --example issn
	@exec $(BIN)/gridlink-node --manage $(MANAGED)

test: $(STAMP) lint
	$(BIN)/pytest -m "not slow"

test-slow: $(STAMP)
	$(BIN)/pytest -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Writes schemas/ anew from the types; a test fails where it was forgotten.
schemas: $(STAMP)
	$(BIN)/python -m gridlink.cli.schemas

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,bench,cluster]'
	@touch $@

clean:
	rm -rf $(VENV)
