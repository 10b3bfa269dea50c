# Every target sets up what it needs; a second run does only what has changed.
#   make demo    see it work (no broker needed)      make test   all checks, as CI runs them
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
DEPENDENCY_FILES := pyproject.toml deploy/constraints.txt
# One thread per process: the engine is single-threaded, and test workers share the cores.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
TEST_WORKERS ?= 2
PYTEST_ARGS ?=
# Tests of all packages with compiled code (tests/test_layout.py holds the list to that).
KERNEL_TESTS := $(wildcard $(addprefix tests/unit/,engine/test_stretch.py \
  campaigns embedding features intake layout population scoring signals space usage windows))
CHECKED_CACHE := .cache/numba-checked
FUZZ_S ?= 600

.PHONY: help setup demo test test-bounds nightly lint format bench bench-detection teach teach-use audit lock schemas clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:[^#]*## /\t/' | expand -t 18

# The newest interpreter that the package supports; PYTHON=... chooses another.
$(BIN)/python:
	@python="$(PYTHON)"; \
	if [ -z "$$python" ]; then for each in python3.13 python3.12 python3.11 python3; do \
	  if "$$each" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then python=$$each; break; fi; \
	done; fi; \
	if [ -z "$$python" ]; then echo "copycatch needs Python 3.11 to 3.13 with venv; none found (set PYTHON=...)" >&2; exit 2; fi; \
	"$$python" -m venv $(VENV)

# The demo installs less than the tests do: it has to be quick on a fresh machine.
$(VENV)/.stamp-demo: $(DEPENDENCY_FILES) | $(BIN)/python
	@echo "setting up $(VENV) (demo) ..."
	@$(BIN)/python -m pip install --quiet --prefer-binary -c deploy/constraints.txt -e '.[redteam]'
	@touch $@

$(VENV)/.stamp-dev: $(DEPENDENCY_FILES) | $(BIN)/python
	@echo "setting up $(VENV) (development) ..."
	@$(BIN)/python -m pip install --quiet --prefer-binary -c deploy/constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.stamp-demo

# 450 MB that only tests of copycatch.spark need: CI has them.
$(VENV)/.stamp-spark: $(VENV)/.stamp-dev
	@$(BIN)/python -m pip install --quiet --prefer-binary -c deploy/constraints.txt -e '.[spark]'
	@touch $@

setup: $(VENV)/.stamp-dev ## make .venv with the package and everything its tests need

demo: $(VENV)/.stamp-demo ## play benign users and attackers through the engine, live
	@$(BIN)/copycatch demo $(DEMO_ARGS)

lint: $(VENV)/.stamp-dev ## ruff, mypy, import contracts
	@$(BIN)/ruff check src tests
	@$(BIN)/ruff format --check src tests
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/mypy

format: $(VENV)/.stamp-dev ## let ruff write the layout
	@$(BIN)/ruff format src tests
	@$(BIN)/ruff check --fix src tests

# Compiles beside lint, once, what each test process would compile for itself.
test: $(VENV)/.stamp-dev $(if $(COPYCATCH_REQUIRE_SPARK),$(VENV)/.stamp-spark) ## all checks: lint, types, contracts, tests, docstring examples, real Kafka
	@$(BIN)/copycatch warm > /dev/null & warming=$$!; \
	$(MAKE) --no-print-directory lint; linted=$$?; wait $$warming && exit $$linted
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadgroup $(PYTEST_ARGS)
ifeq ($(strip $(PYTEST_ARGS)),)
	@$(MAKE) --no-print-directory test-bounds
endif

test-bounds: $(VENV)/.stamp-dev ## tests of compiled code again, with every array index checked
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR="$$PWD/$(CHECKED_CACHE)" $(BIN)/python -m pytest -q $(KERNEL_TESTS)

nightly: $(VENV)/.stamp-dev ## what draws new seeds: the red team, property tests, fuzzed decoders; and test-bounds
	@$(BIN)/python -m pip install --quiet --prefer-binary atheris
	@seed="$${COPYCATCH_TEST_SEED:-$$($(BIN)/python -c 'import secrets; print(secrets.randbelow(1 << 31))')}"; \
	echo "nightly: to repeat it: COPYCATCH_TEST_SEED=$$seed make nightly"; \
	export COPYCATCH_TEST_SEED="$$seed" COPYCATCH_TEST_FUZZ_EXAMPLES="$${COPYCATCH_TEST_FUZZ_EXAMPLES:-500}"; \
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadgroup --hypothesis-profile=nightly \
	  --hypothesis-seed="$$seed" tests/redteam tests/unit; \
	mkdir -p .cache/fuzz; \
	$(BIN)/python -m tests.fuzz.decoders .cache/fuzz -seed="$$seed" -max_total_time=$(FUZZ_S) -max_len=100000 \
	  -print_final_stats=1
	@$(MAKE) --no-print-directory test-bounds

bench: $(VENV)/.stamp-dev ## throughput, latency and memory, beside peers
	@$(BIN)/python -m tests.benchmarks.peers.environment || true
	@$(BIN)/python -m tests.benchmarks $(BENCH_ARGS)

bench-detection: $(VENV)/.stamp-dev ## what is caught, at which false-alarm rate, how early
	@$(BIN)/python -m tests.benchmarks.detection $(BENCH_ARGS)

teach: $(VENV)/.stamp-dev ## train the scorers on simulated attacks (writes scoring/pretrained_weights.json)
	@$(BIN)/python -m tests.benchmarks.detection.teach $(TEACH_ARGS)

teach-use: $(VENV)/.stamp-dev ## train the judge of language-model use (LOGS=<folders> with labels.csv)
	@$(BIN)/python -m tests.benchmarks.detection.distil $(LOGS)

lock: $(VENV)/.stamp-dev ## write the hashes of what the image installs (after a change of deploy/constraints.txt)
	@$(BIN)/python -m pip install --quiet --prefer-binary uv
	@mkdir -p .cache; { head -n 2 deploy/requirements.lock.txt; $(BIN)/uv pip compile pyproject.toml --extra otel -c deploy/constraints.txt --universal \
	  --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet; \
	} > .cache/lock && mv .cache/lock deploy/requirements.lock.txt

schemas: $(VENV)/.stamp-dev ## write schemas/ from the code's own models
	@$(BIN)/copycatch schemas --out schemas

audit: $(VENV)/.stamp-dev ## known vulnerabilities in what we depend on (ADVISORIES=<folder>: offline)
ifneq ($(strip $(ADVISORIES)),)
	@$(BIN)/python -m tests.support.audit deploy/constraints.txt "$(ADVISORIES)"
else
	@$(BIN)/python -m pip install --quiet --prefer-binary pip-audit
	@for service in pypi osv; do \
	  if found="$$($(BIN)/pip-audit --strict --vulnerability-service $$service --requirement deploy/constraints.txt --no-deps --disable-pip 2>&1)"; \
	  then echo "$$found"; exit 0; fi; \
	  if [[ "$$found" == *"known vulnerabilit"* ]]; then echo "$$found"; exit 1; fi; \
	  echo "audit: $$service: $$(tail -n 1 <<< "$$found")" >&2; \
	done; \
	echo "audit: NOTHING was audited: neither pypi.org/pypi/<name>/<version>/json nor api.osv.dev gave advisories;" \
	  "run this where one of them can be reached (an index that only mirrors packages has none)," \
	  "or, in a closed network, with ADVISORIES=<folder>: a checkout of an advisory database in the OSV format" >&2; exit 1
endif

clean: ## remove what the targets made, except .cache
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache demo-out bench-out
