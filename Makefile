# `make` alone lists what there is. Two of these suffice on a fresh Debian 12 with a Rust toolchain: quickstart and test.
.DEFAULT_GOAL := help
.PHONY: help setup build lint test test-drivers fuzz quickstart bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what this machine lacks: Docker, BuildKit, registry, … (no service is started)
	@scripts/setup.sh

build: ## build the release binary: target/release/kmodforge
	cargo build --release --locked

lint: ## rustfmt, clippy, shellcheck
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features -- -D warnings
	shellcheck -x scripts/*.sh templates/dkms/*.sh tests/dkms/*.sh .ci/run
	shellcheck templates/systemd/kmodforge-node

test: setup ## unit, command line, documentation and end-to-end tests, on private daemons
	cargo test --locked --features e2e --no-run
	scripts/stack.sh run --docker --buildkitd --kubernetes --base bookworm,trixie,sid -- cargo test --locked --features e2e --no-fail-fast -- --skip heavy::

test-drivers: setup ## every driver that claims to be proven, compiled and loaded for kernels of Debian: hours
	KMODFORGE_TEST_DRIVERS=all scripts/stack.sh run --docker --base bookworm,trixie,sid -- cargo test --locked --features e2e --test e2e heavy:: catalogue::

fuzz: setup ## feed every parser of foreign files with nonsense, 30 seconds each
	@scripts/fuzz.sh 30

quickstart: ## build real driver images for real kernels, and show what came out
	@scripts/quickstart.sh

bench: setup build ## compare with docker buildx bake: prints a table, writes bench/results.json
	scripts/bench.py

clean: ## remove what cargo and runs left here (not the tools cache)
	cargo clean
	rm -rf .kmodforge
