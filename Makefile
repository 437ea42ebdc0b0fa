# Engawa: one door for every job. `make` alone tells what there is.

SHELL := /bin/bash
CARGO ?= cargo
.DEFAULT_GOAL := help

# Debian packages that building and testing need: a C compiler, and the system's OpenSSL for SQLCipher.
PACKAGES := build-essential pkg-config libssl-dev

.PHONY: help setup test lint purity

help: ## What can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install the system packages that are missing (apt, as root)
	@missing=$$(for p in $(PACKAGES); do dpkg -s $$p 2>/dev/null | grep -q '^Status: install ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing; \
	  else echo "missing packages: run  sudo apt-get install" $$missing; exit 1; fi; \
	fi
	@command -v $(CARGO) >/dev/null || { echo "missing: Rust with cargo, 1.95 or newer, as rustup installs it"; exit 1; }

test: setup purity ## Every test, and the check that pure crates stay pure
	$(CARGO) test --workspace --locked

lint: purity ## Format, clippy, and (where cargo-deny is installed) licences and advisories
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny --locked check; else echo "cargo-deny is not installed: licences and advisories not checked"; fi

purity: ## Pure crates have no runtime, socket, file or clock
	@bash tests/purity.sh
