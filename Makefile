# What a developer types. Needs make, Python 3.11 or later with venv, and nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
BIN := .venv/bin
NODE := tests/acceptance/node
QUICK ?=
FEED ?=
OPEN ?=
N ?= 10
SEED ?=
SITE ?=
PYTEST_ARGS ?=

PEERS := .cache/peers
PARALLEL := -n auto --dist loadfile --no-loadscope-reorder

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: .venv/.stamp-project ## Make the virtual environment from the lock file

.venv/.stamp-lock: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or later is needed: install it, or say where it is: make setup PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { \
		echo "Python's venv module is needed; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

.venv/.stamp-project: .venv/.stamp-lock pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: check check-format check-lint check-types check-imports check-lock
check: check-format check-lint check-types check-imports check-lock ## Judge the code (-k: all of it)

check-format: setup
	$(BIN)/ruff format --check .

check-lint: setup
	$(BIN)/ruff check .

check-types: setup
	$(BIN)/mypy

check-imports: setup
	$(BIN)/lint-imports --no-cache

check-lock: setup
	$(BIN)/python scripts/check_lock.py

.PHONY: test
test: setup node ## Run all tests; as root on Debian, install what they need first
	@scripts/system_packages.sh
ifdef PYTEST_ARGS
	$(BIN)/python -m pytest $(PYTEST_ARGS)
else
	$(BIN)/python -m pytest $(PARALLEL) -m "not alone" || \
		{ test $$? = 1 && echo "Once more, alone, what has failed beside others:" && \
		$(BIN)/python -m pytest --last-failed --last-failed-no-failures none -m "not alone"; }
	$(BIN)/python -m pytest -m alone
endif

.PHONY: node
node:
	@if test ! -f $(NODE)/package.json; then :; \
	elif command -v npm >/dev/null; then $(MAKE) --no-print-directory $(NODE)/node_modules/.stamp; \
	elif test -n "$$CI"; then echo "npm is needed for the tests with node's AMQP client" >&2; exit 1; \
	else echo "npm is missing: the tests with node's AMQP client are skipped"; fi

$(NODE)/node_modules/.stamp: $(wildcard $(NODE)/package.json $(NODE)/package-lock.json)
	npm ci --prefix $(NODE) --no-audit --no-fund --silent
	@touch $@

.PHONY: faults
faults: setup ## Kill, cut and freeze everything while tasks run, and judge (N=10, SEED=..., SITE=...)
	@scripts/system_packages.sh
	@$(BIN)/python -m tests.faults $(N) $(if $(SEED),--seed $(SEED)) $(if $(SITE),--site $(SITE))

.PHONY: demo
demo: setup ## Sync and publish a repository and watch its events (FEED=URL, OPEN=1)
	@$(BIN)/python scripts/demo.py $(if $(FEED),--feed '$(FEED)') $(if $(OPEN),--open)

.PHONY: bench
bench: setup ## Measure against floors and peers, as tables (QUICK=1)
	$(BIN)/python -m bench.events $(if $(QUICK),--quick)
	$(BIN)/python -m bench.sync $(if $(QUICK),--quick)
	$(BIN)/python -m bench.door $(if $(QUICK),--quick)
	$(BIN)/python -m bench.stream $(if $(QUICK),--quick)
	$(BIN)/python -m bench.engine $(if $(QUICK),--quick)
	$(BIN)/python -m bench.outage $(if $(QUICK),--quick)
	$(BIN)/python -m bench.listeners $(if $(QUICK),--quick)
	$(BIN)/python -m bench.search $(if $(QUICK),--quick)
	$(BIN)/python -m bench.copy $(if $(QUICK),--quick)

.PHONY: peers
peers: ## Install what bench.events is measured against, apart from all else
	@scripts/system_packages.sh bench || echo "Not all could be installed" >&2
	@$(MAKE) --silent --no-print-directory $(PEERS)/.stamp || \
		echo "The peers in Python can't be installed, and are left out" >&2

$(PEERS)/.stamp: requirements-bench.lock
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

.PHONY: docs
docs: setup ## Write the generated pages of the reference
	$(BIN)/python -m scripts.write_reference

.PHONY: lock
lock: setup ## Bring the lock files up to pyproject.toml (UPGRADE=1: to the newest releases)
	$(BIN)/$(LOCK) $(if $(UPGRADE),--upgrade) pyproject.toml --group dev -o requirements.lock
	$(BIN)/$(LOCK) $(if $(UPGRADE),--upgrade) --group bench -o requirements-bench.lock

.PHONY: build
build: setup ## Build the wheel into dist/
	$(BIN)/python -m hatchling build -t wheel

.PHONY: clean
clean: ## Remove what was built, cached or measured (the virtual environment stays)
	rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .cache
	find src tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +
