# Each target makes .venv and installs the locked versions by itself; nothing but Python 3.11+ and make is needed.
PYTHON ?= python3
SPEC   ?= specs/development.yaml
BIN    := .venv/bin
STAMP  := .venv/.installed
# What boots specs with ports of their own, which two processes cannot have at once.
FIXED_PORTS := tests/e2e/test_components.py tests/e2e/test_development.py tests/e2e/test_notifications.py examples

.DEFAULT_GOAL := help
.PHONY: help install run test check format schema lock bench bench-ai bench-events bench-jobs bench-sandbox soak clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## .venv with the locked versions

$(STAMP): requirements.lock pyproject.toml
	@echo "Installing the locked versions into .venv (about a minute, once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.11")'
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

run: install  ## boots specs/development.yaml (SPEC=… for another) and stays in the foreground
	@$(BIN)/runtime apply $(SPEC)

test: install  ## unit, contract, end-to-end and fault tests
	@failed=0; \
	$(BIN)/python -m pytest -m "not soak" $(FIXED_PORTS) || failed=1; \
	$(BIN)/python -m pytest -m "not soak" -n 3 --dist loadfile --durations=15 tests $(addprefix --ignore=,$(FIXED_PORTS)) || failed=1; \
	exit $$failed

check: install  ## lint, format, types, import rules, generated files
	@echo "ruff";         $(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "mypy";         $(BIN)/mypy
	@echo "import rules"; $(BIN)/lint-imports --no-cache
	@echo "specs";        $(BIN)/runtime validate specs/*.yaml examples/*/spec.yaml

format: install  ## rewrites the code in the project's format
	@$(BIN)/ruff check --fix --quiet .; $(BIN)/ruff format .

schema: install  ## writes schemas/*.json and docs/spec-reference.md from the models
	@$(BIN)/python -m runtime.spec.schema
	@$(BIN)/python -m runtime.spec.reference

lock: install  ## brings requirements.lock up to date with pyproject.toml
	@$(BIN)/uv pip compile --quiet --upgrade pyproject.toml --extra all --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements.lock
	@$(BIN)/uv pip compile --quiet --upgrade pyproject.toml --extra all --constraint requirements.lock --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements-run.lock

bench: install  ## the rows of benchmarks/README.md, peers beside us
	@for subject in benchmarks/*.py; do echo "== $$subject"; $(BIN)/python $$subject || exit 1; done

bench-jobs: install  ## its rows on jobs alone: ARGS="--quick", ARGS="--only drain,latency --rounds 3"
	@$(BIN)/python benchmarks/jobs.py $(ARGS)

bench-ai: install  ## the gateway to models beside LiteLLM and Portkey, which it installs first
	@$(BIN)/python benchmarks/ai.py --setup $(ARGS)

bench-events: install  ## the event bus beside FastStream, NATS JetStream and BullMQ, which it installs first
	@$(BIN)/python benchmarks/events.py --setup

bench-sandbox: install  ## the sandbox beside isolated-vm and a fresh Pyodide
	@$(BIN)/python benchmarks/sandbox.py

soak: install  ## long load and fault runs, not part of the tests
	@$(BIN)/python -m pytest -m soak -s

clean:  ## removes .venv and everything that a run or a tool left in this folder
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info benchmarks/.peers
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Removed .venv and caches; state folders (.runtime) are kept, delete them yourself."
