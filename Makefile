# make run: the use case. make test: every check. Both need nothing but Python 3.11 and make.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
MANAGED ?= ./managed
STAMP := $(VENV)/.installed

.PHONY: run test lint test-slow board-test board-unit-test schemas clean

run: $(STAMP)
	@test -d $(MANAGED) || $(BIN)/gridlink init $(MANAGED) --example issn
	@exec $(BIN)/gridlink-node --manage $(MANAGED)

test: $(STAMP) lint
	$(BIN)/pytest -m "not slow"

test-slow: $(STAMP)
	$(BIN)/pytest -m slow

# On an emulated 512 MB arm64 board (QEMU): the use case in each mode, what it leaves of the memory, and a module that is
# installed, updated and rolled back. Its image is made
# once, by root, on Debian, and kept in ~/.cache/gridlink/board, or GRIDLINK_BOARD_CACHE. Some ten minutes.
board-test: $(STAMP)
	PYTHON=$(CURDIR)/$(BIN)/python tests/board/board-test.sh memory

# On the same board with systemd: the commands of docs/board.md, and what systemd does when parts fail.
board-unit-test: $(STAMP)
	PYTHON=$(CURDIR)/$(BIN)/python tests/board/board-test.sh unit

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
