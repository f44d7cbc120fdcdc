# `make` lists what there is. Everything runs in .venv, which the first target that needs it makes.

PYTHON ?= python3
BIN := .venv/bin
RUNNABLE := .venv/runnable
INSTALLED := .venv/installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Tests start hundreds of Python processes: compiled files are kept in .passwire, even if the environment asks for none.
PYTEST := PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(CURDIR)/.passwire/pycache $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help install up demo test test-unit check docs format lint prose types imports template schedules faults soak bench-push bench-fanout bench-pass bench-import bench-campaign bench-cold bench-rollout bench-api policies lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(RUNNABLE) ## install the command line as .venv/bin/passwire, without the tools that tests need

up: $(RUNNABLE) ## run the whole service on this machine, until Ctrl-C; FRESH=1 starts over without the data of the last run
	@exec $(BIN)/python -m infra up $(if $(FRESH),--fresh)

demo: $(RUNNABLE) ## play the whole loop: issue, register, change, push, list, download, change message
	@exec $(BIN)/python -m infra demo

test: $(INSTALLED) ## run the whole suite, or a selection: make test T=tests/unit/passes K='archive and not strings'
ifneq ($(T)$(K),)
	$(PYTEST) $(T) $(if $(K),-k "$(K)")
else
	$(PYTEST) -m "not stack" --numprocesses auto --dist worksteal
	$(PYTEST) -m stack --numprocesses 4 --dist loadfile --no-loadscope-reorder
endif

test-unit: $(INSTALLED) ## run the tests that need no local run, in parallel; takes K, too
	$(PYTEST) tests/unit -p no:schemathesis --hypothesis-profile quick --numprocesses auto --dist worksteal $(if $(K),-k "$(K)")

check: $(INSTALLED) lint types imports template test ## everything that CI runs

format: $(INSTALLED) ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(INSTALLED) prose ## form and style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

prose: $(INSTALLED) ## phrases to avoid, and misspellings
	$(BIN)/python -m tests.support.prose
	$(BIN)/codespell

types: $(INSTALLED) ## mypy --strict
	$(BIN)/mypy

imports: $(INSTALLED) ## imports point downwards
	$(BIN)/lint-imports

docs: $(INSTALLED) ## write what is generated in docs/ again
	$(BIN)/python -m tests.support.reference

template: $(INSTALLED) ## the CloudFormation template is one that AWS would take
	$(BIN)/python -m tests.support.lint_template

schedules: $(INSTALLED) ## look for schedules of concurrent events that lose an update, also with each guard broken
	$(BIN)/python -m tests.schedules.explore

.PHONY: fuzz
fuzz: $(INSTALLED) ## fuzz every parser and the HTTP surface with atheris: make fuzz SECONDS=60 TARGET=links SEED=7
	$(BIN)/python -m tests.fuzz.run --seconds $(or $(SECONDS),60) --seed $(or $(SEED),0) $(addprefix --target ,$(TARGET))

faults: $(INSTALLED) ## play every fault of APNs and AWS through the push side, and count what is lost
	$(BIN)/python -m tests.faults.scenarios > /dev/null

soak: $(INSTALLED) ## two minutes of mixed load and random faults, and an account of every change; SECONDS=600 SEED=7
	$(BIN)/python -m tests.soak --seconds $(or $(SECONDS),120) $(if $(SEED),--seed $(SEED))

bench-push: $(INSTALLED) ## measure the push client beside others; go, node and h2load are taken if they are there
	$(BIN)/python -m benchmarks.push

bench-fanout: $(INSTALLED) ## measure from a write to its pushes through the deployed stack, for 1 to 100,000 holders of a pass
	$(BIN)/python -m benchmarks.fanout

bench-pass: $(INSTALLED) ## measure how fast passes are made beside a bare RSA signature and the peers; node's if it is there
	$(BIN)/python -m benchmarks.passes

.PHONY: bench-validation
bench-validation: $(INSTALLED) ## measure the CPU of a change with and without the check of Apple's format
	$(BIN)/python -m benchmarks.validation

bench-import: $(INSTALLED) ## measure an import of 100,000 rows beside a bare BatchWriteItem loop, and its resume after a kill
	$(BIN)/python -m benchmarks.imports

bench-campaign: $(INSTALLED) ## measure what one push function spends on a change of a pass on one device, beside a bare botocore loop
	$(BIN)/python -m benchmarks.campaign

bench-cold: $(INSTALLED) ## measure cold starts from the built zip, beside it as packaged, a bare handler and FastAPI; and memory sizes
	$(BIN)/python -m benchmarks.cold

bench-rollout: $(INSTALLED) ## measure until the last of 3,000 phones shows a change, paced and unpaced, behind the gateway's token bucket
	$(BIN)/python -m benchmarks.rollout

bench-api: $(INSTALLED) ## measure the CPU of warm API calls beside a bare handler, FastAPI and django-walletpass
	$(BIN)/python -m benchmarks.api

policies: $(INSTALLED) ## print what each function's policy grants and what the function uses; fail where they differ
	@$(PYTEST) -q tests/stack/infra/test_policies.py -rP > .passwire/policies.txt; status=$$?; \
	grep -v '^{' .passwire/policies.txt; exit $$status

COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header -q

.PHONY: audit
audit: $(INSTALLED) ## look up known vulnerabilities of every locked library at pypi.org; says so if it cannot
	$(BIN)/python -m tests.support.audit

lock: $(INSTALLED) ## pin every dependency with its hashes: requirements*.txt from pyproject.toml, and the embedded AWS
	$(COMPILE) pyproject.toml -o requirements.txt
	$(COMPILE) pyproject.toml --extra cli --extra bulk -c requirements.txt -o requirements-cli.txt
	$(COMPILE) pyproject.toml --all-extras -c requirements-cli.txt -o requirements-dev.txt
	$(COMPILE) infra/local/requirements-ministack.in -o infra/local/requirements-ministack.txt

clean: ## remove what was made here: .venv and .passwire
	rm -rf .venv .passwire .chalice/deployments

$(RUNNABLE): requirements-cli.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 to 3.14 is needed: $(PYTHON) is not there"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || { echo "Python 3.11 to 3.14 is needed; say which with: make PYTHON=python3.13"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "Python's venv module is needed: apt-get install python3-venv"; exit 1; }
	@command -v openssl >/dev/null || { echo "openssl is needed: apt-get install openssl"; exit 1; }
	@echo "installing into .venv, once"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) --require-hashes -r requirements-cli.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(INSTALLED): requirements-dev.txt $(RUNNABLE)
	@echo "installing the tools for tests into .venv, once"
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@
