# The product's verbs. Everything they do is `seedbed …`; after `eval "$(make -s env)"` it can be typed directly.

.DEFAULT_GOAL := help
PYTHON ?= python3
STACK ?= dev
TIERS ?=

python := .venv/bin/python
seedbed := .venv/bin/seedbed
ready := .venv/.ready

.PHONY: help up preview down clean test bench env doctor lint

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 16

up: $(ready)  ## from a fresh clone to a Ready dev cluster on this machine; run it again without harm
	@$(seedbed) up

preview: $(ready)  ## what `pulumi up` would change (STACK=dev)
	@eval "$$($(seedbed) env $(STACK))" && pulumi preview --stack $(STACK)

down: $(ready)  ## remove the dev lab with its hosts and state, without trace; the cache stays
	@$(seedbed) down

clean:  ## down, then remove all that make put into the clone; `seedbed down --purge-cache` removes the cache too
	@if [ -e .lab ] || [ -e /run/seedbed/labs/dev.json ]; then $(MAKE) --no-print-directory down; fi
	@rm -rf .lab .tools .venv .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

test: $(ready)  ## lint and every tier of tests, with counts; TIERS="unit engine" runs some
	@$(python) -m tests.tiers $(TIERS)

lint: $(ready)  ## ruff and mypy
	@$(python) -m tests.tiers lint

bench: $(ready)  ## measure; see bench/
	@$(python) -m bench

env: $(ready)  ## the exports for this shell: eval "$(make -s env)"
	@$(seedbed) env $(STACK)

doctor: $(ready)  ## check what can go wrong before it does (STACK=dev)
	@$(seedbed) doctor $(STACK)

# The Python environment. It goes to stderr what it says: `make -s env` prints nothing but exports.
# uv comes first, with its own hashes from the lock; where only pip knows the way to a package index, pip does it all.
$(ready): requirements/dev.txt Makefile
	@command -v $(PYTHON) >/dev/null || { echo 'error: $(PYTHON) is missing: install Python 3.11 or newer' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'error: $(PYTHON) is older than 3.11: make PYTHON=/path/to/a/newer/python3' >&2; exit 1; }
	@[ -x $(python) ] || { echo 'Python environment (.venv) …' >&2; $(PYTHON) -m venv --clear .venv >&2; } \
	  || { rm -rf .venv; echo 'error: `$(PYTHON) -m venv` failed; on Debian: apt-get install python3-venv' >&2; exit 1; }
	@awk '/^uv==/ {on = 1} on {print} on && !/\\$$/ {exit}' requirements/dev.txt > .venv/uv.txt
	@$(python) -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt >&2
	@.venv/bin/uv pip sync --quiet --python $(python) --require-hashes requirements/dev.txt >&2 \
	  || $(python) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt >&2
	@ln -sfn ../../seedbed/launcher .venv/bin/seedbed
	@touch $@
