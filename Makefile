# Perennial. `make demo` and `make test` set everything up by themselves (GNU Make 3.81 or newer).
PYTHON ?=
VENV ?= .venv
JOBS ?= 3
PYTEST ?=
BIN = $(VENV)/bin

.PHONY: help setup demo run kafka test quick check lint format types imports site pictures audit clean
.DEFAULT_GOAL := help

help:  ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-9s %s\n", $$1, $$2}'

$(VENV)/.ready: pyproject.toml artifact/pyproject.toml client/pyproject.toml constraints.txt scripts/setup.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" TORCH_INDEX="$(TORCH_INDEX)" sh scripts/setup.sh

setup: $(VENV)/.ready  ## make .venv with pinned versions (PYTHON=python3.12 chooses the interpreter)

demo: $(VENV)/.ready  ## show the whole loop on generated news; ends by itself
	@$(BIN)/perennial demo

run: $(VENV)/.ready  ## run the daemon until Ctrl-C
	@$(BIN)/perennial run

kafka: $(VENV)/.ready  ## start a real Apache Kafka on a free port (needs Java 17 and Maven, no Docker)
	@$(BIN)/python -m tests.kafka.broker

# In the order of the folders: the dear files first, so that no process is left with one at the end.
test: $(VENV)/.ready  ## run every test, in JOBS=3 processes (what needs a missing service or data set skips and says why)
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(PYTEST)

quick: $(VENV)/.ready  ## run the unit and property tests that start no process and train nothing
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile -m "not process and not slow" tests/unit tests/property

check: lint types imports  ## lint, types and import contracts

lint: $(VENV)/.ready  ## ruff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(VENV)/.ready  ## let ruff rewrite the layout
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

types: $(VENV)/.ready  ## mypy, strict
	@$(BIN)/mypy

imports: $(VENV)/.ready  ## import-linter contracts
	@$(BIN)/lint-imports

$(VENV)/.site: $(VENV)/.ready constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt mkdocs-material
	@touch $@

site: $(VENV)/.site  ## build the documentation as a site into build/site; a broken link or anchor fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet && echo "build/site/index.html"

pictures: $(VENV)/.ready  ## make the pictures of README and docs from a demo (needs Chromium; CHROMIUM names it)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt termtosvg-ng
	@$(BIN)/python scripts/page_pictures.py docs/images

audit: $(VENV)/.ready  ## known vulnerabilities of the pinned versions; says NOT AUDITED where no advisory service answers
	@$(BIN)/python scripts/audit.py || [ $$? -eq 3 ]

clean:  ## remove the environment and caches (data folders stay)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .kafka build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
