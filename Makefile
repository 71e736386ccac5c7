# The product's verbs. Everything they do is `seedbed …`; after `eval "$(make -s env)"` it can be typed directly.

.DEFAULT_GOAL := help
STACK ?= dev
TIERS ?=

python := .venv/bin/python
seedbed := .venv/bin/seedbed

.PHONY: help up preview rehearse down clean test bench env doctor lint

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 16

up: ready  ## from a fresh clone to a Ready dev cluster on this machine; run it again without harm
	@$(seedbed) up

preview: ready  ## what `pulumi up` would change (STACK=dev)
	@eval "$$($(seedbed) env $(STACK))" && pulumi preview --stack $(STACK)

rehearse: STACK = prod
rehearse: ready  ## the prod stack on the lab's cloud, from nothing; `make down STACK=prod` removes it
	@$(seedbed) rehearse $(STACK)

down: ready  ## remove the lab with its hosts and state, without trace (STACK=dev); the cache stays
	@$(seedbed) down $(STACK)

clean:  ## down, then remove all that make put into the clone; `seedbed down --purge-cache` removes the cache too
	@set -e; for stack in $$({ ls .lab; grep -l '"$(CURDIR)/.lab/' /run/seedbed/labs/*.json; } 2>/dev/null \
		| sed 's|.*/||; s|\.json$$||' | sort -u); do \
		[ ! -e Pulumi.$$stack.yaml ] || $(MAKE) --no-print-directory down STACK=$$stack; done
	@rm -rf .lab .tools .venv .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

test: ready  ## lint and every tier of tests, with counts; TIERS="unit engine" runs some
	@$(python) -m tests.tiers $(TIERS)

lint: ready  ## ruff and mypy
	@$(python) -m tests.tiers lint

bench: ready  ## measure; see bench/
	@$(python) -m bench

env: ready  ## the exports for this shell: eval "$(make -s env)"
	@$(seedbed) env $(STACK)

doctor: ready  ## check what can go wrong before it does (STACK=dev)
	@$(seedbed) doctor $(STACK)

# The Python environment, from the locks; milliseconds where it is as they say. It speaks on stderr only: `make -s env`
# prints nothing but exports.
.PHONY: ready
ready:
	@tools/bootstrap.sh
	@[ -e $(seedbed) ] || ln -sfn ../../seedbed/launcher $(seedbed)
