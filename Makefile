# SPDX-License-Identifier: GPL-2.0-or-later
.SUFFIXES:
.DELETE_ON_ERROR:
SHELL = /bin/bash

PREFIX ?= /usr/local
DESTDIR ?=
ARGS ?=
VERSION ?=
SECTION ?=

# -s and -P: neither root's own packages nor the current directory's files become part of what runs as root.
PYTHON = .venv/bin/python -sP
PYTEST = .venv/bin/python -sP -m pytest --no-skips $(ARGS)
# in this order: the quick ones first
TIERS = $(wildcard $(addprefix tests/,lint unit bus kernel system packages))
ifeq ($(shell uname -m),x86_64)
TIERS += tests/matrix
endif
STAGE = /usr/bin/python3 -I packaging/stage.py

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /  \1\t/p' Makefile | expand -t 16
	@echo 'DESTDIR= and PREFIX= ($(PREFIX)) choose where `install` puts it; ARGS= goes to pytest.'

.PHONY: root
root:
	@[ "$$(id -u)" = 0 ] || { echo 'execwatchd: this needs root, to load BPF programs: sudo make $(MAKECMDGOALS)' >&2; exit 1; }

.PHONY: run
run: root ## install what is missing and watch in the foreground until Ctrl-C
	@packaging/bootstrap run
	@exec packaging/run $(PYTHON) -m execwatchd --foreground

.PHONY: test
test: root ## install what is missing and run every test, those on a real systemd included
	@packaging/bootstrap test
	@exec $(PYTEST) $(TIERS)

.PHONY: test-packages
test-packages: root ## build packages and try them on clean releases: a part of test
	@packaging/bootstrap test
	@exec $(PYTEST) tests/packages

.PHONY: test-matrix
test-matrix: root ## main job and kernel tests on every kernel of the matrix, emulated; test takes the oldest
	@packaging/bootstrap test
	@exec $(PYTEST) --all-kernels tests/matrix

.PHONY: check
check: ## lint and unit tests: no root, no kernel, two minutes
	@packaging/bootstrap check
	@exec $(PYTEST) tests/lint tests/unit

.PHONY: lint
lint: ## style, types, unit files and the like: a part of check
	@packaging/bootstrap check
	@exec $(PYTEST) tests/lint

.PHONY: bench
bench: root ## measure all of docs/benchmarks.md, or SECTION= of it, and renew its tables and plots
	@packaging/bootstrap bench
	@exec $(PYTHON) -m tests.bench $(SECTION)

.PHONY: install
install: ## install into DESTDIR and PREFIX; starts nothing
	@packaging/bootstrap run
	@exec $(STAGE) install --destdir '$(DESTDIR)' --prefix '$(PREFIX)'

.PHONY: uninstall
uninstall: ## remove what install put there; a changed configuration and the state stay
	@exec $(STAGE) uninstall --destdir '$(DESTDIR)' --prefix '$(PREFIX)'

.PHONY: packages
packages: ## build a .deb and an .rpm for this release into dist
	@packaging/bootstrap package
	@exec /usr/bin/python3 -I packaging/package.py

.PHONY: release
release: ## VERSION=: set the version, check the changelog, build, and say what to publish
	@exec packaging/release '$(VERSION)'

.PHONY: clean
clean: ## remove the private environment and everything built
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
