# Two commands matter: `make plan` and `make test`. Both set up what they need.
PYTHON ?= python3
BIN := .venv/bin
TEST_JOBS ?= 2
QUESTION ?= examples/gpu-rush-2023/question.yaml
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet -c constraints.txt

.PHONY: setup plan test check lint types architecture bench docs clean help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

.venv/setup: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) -e .
	$(BIN)/python -m suanzhang.app.warm
	@touch $@

.venv/setup-test: .venv/setup
	$(PIP) -e '.[test]'
	@touch $@

setup: .venv/setup ## create .venv, install, compile the formulas

plan: .venv/setup ## the main job: plan the question of QUESTION=...
	$(BIN)/suanzhang plan $(QUESTION)

test: .venv/setup-test ## all tests, on TEST_JOBS=2 cores
	$(BIN)/python -m pytest -n $(TEST_JOBS)

lint: .venv/setup-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/setup-test
	$(BIN)/mypy

architecture: .venv/setup-test
	$(BIN)/lint-imports

check: lint types architecture ## lint, types, layers

bench: .venv/setup-test ## benchmarks, JSON lines on stdout
	@for name in start search sim buy fleet; do $(BIN)/python -m benchmarks $$name --json || exit 1; done

docs: .venv/setup-test ## run every snippet of the pages and write what moved; write the generated pages
	$(BIN)/python docs/refresh.py

clean: ## remove what setup made
	rm -rf .venv out
