# Genwright. `make demo` shows it, `make test` proves it, `make check` answers in seconds.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
ONLY ?=
DB ?= sqlite
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo serve test test-newest check format bench docs lock clean

help:  ## This list
	@grep -hE '^[a-z-]+:.*##' Makefile | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(VENV)/ready: requirements/lock.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Genwright needs Python 3.11 or later on the PATH; none was found. Nothing was changed."; exit 1; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version); the first time takes about a minute …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes --progress-bar off -r requirements/lock.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --progress-bar off -e .
	@touch $@

setup: $(VENV)/ready  ## Make the virtual environment with the locked dependencies

demo: setup  ## The whole journey on real documents; EXIT=1 stops at the end
	@$(BIN)/genwright demo $(if $(EXIT),--exit)

serve: setup  ## Start the server
	@$(BIN)/genwright up

test: setup  ## All tests; DB=postgres runs them on PostgreSQL (Chromium and PostgreSQL come from Debian where they are missing)
	@sh tools/test_needs.sh
	@$(if $(filter postgres,$(DB)),$(BIN)/python tests/postgres.py run) $(BIN)/python -m pytest $(or $(FOLDERS),tests) -n 2 --dist loadfile $(ARGS)

test-newest: setup  ## The tests on PostgreSQL with the newest Python found
	@sh tools/test_needs.sh
	@sh tools/newest_python.sh $(ARGS)

check: setup  ## Lint, types and house tests
	@$(BIN)/ruff check src tests benchmarks examples tools
	@$(BIN)/ruff format --check --quiet src tests benchmarks examples tools
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/python -m pytest tests/house -q

format: setup  ## Format the code
	@$(BIN)/ruff check --fix --quiet src tests benchmarks examples tools; $(BIN)/ruff format --quiet src tests benchmarks examples tools

bench: setup  ## Measure; ONLY=gateway for one room, PEERS=1 beside the peers
	@$(BIN)/python -m benchmarks $(ONLY)

docs: setup  ## Write the generated pages (settings, api, tables) and the client's operations
	@$(BIN)/python -m genwright.client && $(BIN)/python tools/write_docs.py

lock: setup  ## Resolve the dependencies anew, by version and hash
	@$(BIN)/python -m pip install --quiet uv && $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --all-extras --group dev pyproject.toml -o requirements/lock.txt

clean:  ## Remove what was built; keeps .genwright
	@rm -rf $(VENV) .mypy_cache .ruff_cache dist build
