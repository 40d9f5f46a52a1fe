# Two commands are enough to begin: `make up` and `make test`.
PYTHON ?= python3
VENV := .venv
LLMP := $(VENV)/bin/llmp
STACK ?= local
INSTALLED := $(VENV)/.installed

.PHONY: up down status chat test test-cluster test-teardown lint format requirements bench-up clean ci

up: $(INSTALLED)          ## the whole platform on this machine
	@$(LLMP) up -s $(STACK)

down: $(INSTALLED)        ## end it and remove all it left; what was built stays in the cache
	@$(LLMP) down

status: $(INSTALLED)      ## health and address of each part
	@$(LLMP) status -s $(STACK)

chat: $(INSTALLED)        ## make chat Q="What is the capital of France?"
	@$(LLMP) chat -s $(STACK) "$(or $(Q),What is the capital of France?)"

test: $(INSTALLED)        ## everything that needs no running platform
	@$(LLMP) build --programs
	@$(VENV)/bin/pytest -n 2 --dist loadfile

test-cluster: $(INSTALLED) ## tests on the running local platform
	@$(VENV)/bin/pytest -m cluster

test-teardown: $(INSTALLED) ## ends the local platform and checks that nothing is left
	@$(VENV)/bin/pytest -m teardown

lint: $(INSTALLED)        ## no findings allowed
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

format: $(INSTALLED)
	@$(VENV)/bin/ruff check --fix-only -q .
	@$(VENV)/bin/ruff format -q .

requirements: $(INSTALLED) ## pin requirements/*.in anew, with hashes and without addresses
	@requirements/compile

bench-up: $(INSTALLED)    ## time of `up` with nothing to do, and after `down`, by phase
	@$(LLMP) down
	@$(LLMP) up -s $(STACK)
	@$(LLMP) up -s $(STACK)

clean: $(INSTALLED)       ## the platform, and all that was built
	@$(LLMP) down
	rm -rf $${LLMP_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/llmp}

$(INSTALLED): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else 0'
	@echo "installing the Python packages of requirements/dev.txt into $(VENV) …"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@
