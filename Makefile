# The project's commands. `make run` needs nothing but Python 3.11 or newer, make and pip. `make test` names the other programs that it
# could use, and skips the tests that need them.
.DEFAULT_GOAL := help
.PHONY: help run test coverage chaos violence check map bench lock sbom licences clean python

PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-input
PYTEST_ARGS ?= --numprocesses auto --dist loadfile
BENCH_ARGS ?=
ROUNDS ?= 10

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/installed ## Serve: webhook, API, pages, metrics, projector, with a PostgreSQL of its own
	@exec $(BIN)/tracker serve

test: .venv/installed-dev ## Run all tests (PYTEST_ARGS="-k webhook" for some)
	$(BIN)/pytest $(PYTEST_ARGS)

coverage: .venv/installed-dev ## Run all tests and measure which lines and branches they reach, server processes included
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PYTEST_ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

chaos: .venv/installed-dev ## Kill and cut off processes under load, ROUNDS=10 times, each with a seed of its own (SEED=… for the first)
	$(BIN)/python -m tests.durability --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) -- $(PYTEST_ARGS)

violence: chaos ## The earlier name of chaos

check: .venv/installed-dev ## Lint, strict types, import contracts, SQL lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --processes 2 sql

map: .venv/installed-dev ## Write the map of imports into docs/ARCHITECTURE.md
	$(BIN)/python -m tests.import_map

bench: .venv/installed-dev ## Compare with a raw route, an ordinary handler and the usual way; needs wrk
	$(BIN)/python -m tests.bench $(BENCH_ARGS)

lock: ## Pin the dependencies anew; needs pip-tools
	$(PYTHON) -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --extra build -o requirements.lock pyproject.toml
	$(PYTHON) -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --extra build --extra dev -o requirements-dev.lock pyproject.toml

sbom: .venv/installed-dev ## Write sbom.json (CycloneDX): every pinned package of the program, with its hashes
	$(BIN)/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible --output-format JSON --output-file sbom.json requirements.lock

licences: .venv/installed-dev ## List the licence of every package of the program; exit code 1 if one is not permitted
	$(BIN)/python -m tests.licences

clean: ## Remove the environment and what tools left; the data in .tracker stays
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# Before anything is installed: pip's own message about too old a Python names neither the cause nor the remedy.
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		found=$$($(PYTHON) --version 2>/dev/null) || found="not there"; \
		echo "Python 3.11 or newer is needed, and $(PYTHON) is $$found." >&2; \
		echo "Install one and name it: make $(or $(MAKECMDGOALS),run) PYTHON=python3.12" >&2; \
		exit 1; }

# Everything is pinned and hashed, the build backend too, so nothing is resolved at install time. An environment of another Python, or of
# one that is no longer there, is made anew.
.venv/installed: requirements.lock pyproject.toml | python
	@echo "Installing the pinned dependencies into .venv (about a minute, once) ..." >&2
	@version='import sys; print(sys.version_info[:2])'; \
	if [ -e .venv ] && [ "$$($(BIN)/python -c "$$version" 2>&1)" != "$$($(PYTHON) -c "$$version")" ]; then \
		echo "Making .venv anew: it was made with another Python." >&2; \
		$(PYTHON) -m venv --clear .venv; \
	else \
		$(PYTHON) -m venv .venv; \
	fi
	$(PIP_INSTALL) --require-hashes -r requirements.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/installed-dev: requirements-dev.lock .venv/installed
	@echo "Installing the pinned development dependencies into .venv ..." >&2
	$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@
