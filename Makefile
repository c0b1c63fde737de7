# Orderflow. `make run` opens the shop, `make test` proves it; everything else is listed by `make help`.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2
ROUNDS ?= 20
MODE ?= kills
MINUTES ?= 5
SEEDS ?= 2000
FROM ?= 1

.DEFAULT_GOAL := help
.PHONY: help run test test-again test-fast test-power failpoints race payments chaos simulate check format types layers bench bench-compare docs lock definitions clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[36m%-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/run $(if $(filter otlp,$(TRACES)),.venv/otel) ## Start the shop: broker, four services, storefront (EMBEDDED=1: one process, no broker)
	@exec $(BIN)/python -m ops.cli up

test: .venv/dev ## Run every test, on SQLite and PostgreSQL, in memory and on a real RabbitMQ
	@$(BIN)/python -m ops.install
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -q

test-again: .venv/dev ## Run what failed in the last run once more, by itself (up to three tests)
	@$(BIN)/python -m tests.again

test-fast: .venv/dev ## Run the tests that need no server and are not exhaustive (about a minute)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -q -m "not rabbit and not postgres and not e2e and not strace and not browser and not exhaustive"

test-power: .venv/dev ## Cut the power 8,000 times and kill a service at every system call of a checkout (an hour)
	@$(BIN)/python -m ops.install
	@POWER=full $(BIN)/python -m pytest -q tests/power

failpoints: .venv/dev ## Kill and upset every service at every border of delivery (about eight minutes)
	@EVERY_FAILPOINT=1 $(BIN)/python -m pytest -n 0 -v tests/e2e/test_failpoints.py

race: .venv/dev ## 200 buyers for 50 units while the catalogue dies, ROUNDS=20 times on each kind of store
	@RACE_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest -n 0 -s -q tests/e2e/test_race.py

check: .venv/dev ## Format, lint, types and import layers, as CI does
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(MAKE) --no-print-directory types layers

format: .venv/dev ## Format the code and apply safe lint fixes
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

types: .venv/dev ## Type-check everything, strictly
	@$(BIN)/mypy

layers: .venv/dev ## Check that every import points downwards
	@$(BIN)/lint-imports

simulate: .venv/dev ## Run the whole shop on SEEDS seeds (2000), or tell the story of one: SEED=7
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --from $(FROM))

bench: .venv-bench/ready ## Measure ours beside the floors and peers (ONLY=hop,cash, STORE=postgresql, QUICK=1)
	@.venv-bench/bin/python -m bench $(if $(ONLY),--only $(ONLY)) $(if $(STORE),--store $(STORE)) $(if $(QUICK),--quick)

bench-compare: ## What changed between two results of make bench, and what is noise (A=… B=…; else the newest two)
	@$(PYTHON) -m bench.compare $(A) $(B)

docs: .venv/dev ## Build the documentation as a site into .run/site; a broken link stops it
	@$(BIN)/python -m docs.tools
	@NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict
	@echo "✓ open .run/site/index.html"

payments: .venv/dev ## Pay N orders (default 500) at a provider that lies, while payment_svc is killed; compare three ledgers
	@$(BIN)/python -m tests.lying_provider --orders $(or $(N),500)

chaos: .venv/dev ## Spoil a shop under load and judge it (MODE=kills|broker|services|rolling|mix|replicas|cluster, MINUTES=5, ARGS=…)
	@$(BIN)/python -m ops.install
	@$(BIN)/python -m tests.chaos $(MODE) --minutes $(MINUTES) $(ARGS)

lock: .venv/dev ## Resolve requirements*.in anew into hash-locked requirements*.txt
	@$(BIN)/pip install -q uv
	@for name in requirements requirements-otel requirements-dev requirements-bench; do $(BIN)/uv pip compile -q --upgrade --no-emit-index-url \
		--no-header --no-annotate --universal --python-version 3.11 --generate-hashes $$name.in -o $$name.txt; done

clean: ## Remove what was built and the local shop's data
	rm -rf .venv .venv-bench .run .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/run: requirements.txt
	@$(call make_venv)
	@echo "▸ installing what the shop needs into .venv (once)"
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/otel: requirements-otel.txt .venv/run
	@echo "▸ installing what exports traces into .venv (once)"
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-otel.txt
	@touch $@

.venv/dev: requirements-dev.txt
	@$(call make_venv)
	@echo "▸ installing what tests and checks need into .venv (once)"
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@ .venv/run .venv/otel

.venv-bench/ready: requirements-bench.txt
	@test -x .venv-bench/bin/pip || $(PYTHON) -m venv .venv-bench
	@echo "▸ installing the benchmark and its peers into .venv-bench (once)"
	@.venv-bench/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements-bench.txt
	@touch $@

define make_venv
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; say which one with PYTHON=…" >&2; exit 1; }; \
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv \
		|| { echo "$(PYTHON) cannot make virtual environments (Debian: apt-get install python3-venv)" >&2; exit 1; }
endef
