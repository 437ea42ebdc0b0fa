# Engawa: one door for every job. `make` alone tells what there is.

SHELL := /bin/bash
CARGO ?= cargo
.DEFAULT_GOAL := help

# Debian packages. Building needs a C compiler and the system's OpenSSL (for SQLCipher); the proof reads the cloud's
# database with sqlite3; the tests talk to peers that are not ours.
BUILD := build-essential pkg-config libssl-dev
DEMO := $(BUILD) sqlite3
BENCH := $(BUILD) mosquitto python3-venv
TEST := $(DEMO) shellcheck faketime mosquitto mosquitto-clients libmodbus-dev mbpoll openssl python3-venv socat systemd postgresql nats-server swtpm iproute2 softhsm2
# The line's bench with its peers; failover for `make soak`.
SYNC := $(DEMO) postgresql mosquitto mosquitto-clients nats-server iproute2
# A system image and the board in QEMU that tries it; U-Boot is built from Debian's source.
IMAGE := qemu-system-arm qemu-utils qemu-user-static binfmt-support arch-test mmdebstrap rauc u-boot-tools device-tree-compiler kmod cpio \
	squashfs-tools cryptsetup-bin mtools dosfstools fdisk zstd xz-utils openssl python3 gcc-aarch64-linux-gnu make bison flex bc libssl-dev patch xxd
SOAK := patroni etcd-server python3-etcd python3-psycopg2
ARM := $(BUILD) gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libc6-dev-arm64-cross gcc-arm-linux-gnueabihf g++-arm-linux-gnueabihf libc6-dev-armhf-cross qemu-user
ARM_TARGETS := aarch64-unknown-linux-gnu armv7-unknown-linux-gnueabihf
POWER := $(BUILD) qemu-system-x86 busybox-static dmsetup e2fsprogs cpio xz-utils
UPDATE := $(ARM) rauc casync squashfs-tools dbus openssl python3 time zstd
# Tests that wait for most of their minute: they run beside all others.
LONG := kills guest_screen
LONG_TESTS := a_day_with_ten_kills a_screen_greets_the_guest

.PHONY: help demo test lint bench bench-guests bench-journal bench-sync soak arm reproducible power-guest bench- \
	update setup-arm setup-power setup-update setup-demo setup-test setup-packages setup-bench setup-sync \
	setup-soak purity install uninstall setup-image image image-test tuf-conformance bench-rollout

help: ## What can be made
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Installs the packages in $(1) that are missing: by apt as root, else it says what to run.
define packages
	@missing=$$(for p in $(1); do dpkg -s $$p 2>/dev/null | grep -q '^Status: install ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing; \
	  else echo "missing packages: run  sudo apt-get install" $$missing; exit 1; fi; \
	fi
	@command -v $(CARGO) >/dev/null || { echo "missing: Rust with cargo, 1.95 or newer, as rustup installs it"; exit 1; }
endef

setup-demo:
	$(call packages,$(DEMO))

setup-test: setup-packages
	@bash tests/e2e/tests/home_assistant/install.sh target/peers/home-assistant
	@bash tests/tuf/peers/install.sh target/peers/python-tuf

setup-packages:
	$(call packages,$(TEST))

setup-bench:
	$(call packages,$(BENCH))
	@bash tests/bench/peers/install.sh target/peers naive $(if $(filter 1,$(QUICK)),,node-red thingsboard) >&2

demo: setup-demo ## A hotel's day in two minutes, with the internet cut, and the proof (KEEP=1 leaves it running)
	$(CARGO) build --release --locked --bins -p engawa -p engawa-cloud -p engawa-hotel -p engawa-stage
	@target/release/engawa-demo $(if $(filter 1,$(KEEP)),--keep) $(DEMO_ARGS)

# Home Assistant and python-tuf come over the network while the processors compile. Programs and tests are built at once, so that
# nothing is compiled twice for its features.
test: setup-packages purity ## Every test, the same 8,000 inputs of fuzzing a target (twelve seconds at most), and the check that pure code stays pure
	@{ bash tests/e2e/tests/home_assistant/install.sh target/peers/home-assistant && bash tests/tuf/peers/install.sh target/peers/python-tuf; } & installing=$$!; \
	trap 'kill $$installing 2>/dev/null' EXIT; \
	$(CARGO) build --locked --workspace --bins --tests && wait $$installing
	@$(CARGO) test --workspace --locked $(foreach test,$(LONG),--test $(test)) >target/long.log 2>&1 & long=$$!; \
	trap 'kill $$long 2>/dev/null' EXIT; \
	$(CARGO) test --workspace --locked --no-fail-fast -- $(foreach test,$(LONG_TESTS),--skip $(test)); rest=$$?; \
	wait $$long; ended=$$?; cat target/long.log; [ $$rest = 0 ] && [ $$ended = 0 ]
	@bash deploy/test.sh target/debug/engawa
	@bash firmware/image/test/scripts.sh
	@CARGO=$(CARGO) FUZZ_RUNS=$${FUZZ_RUNS:-8000} FUZZ_SECONDS=$${FUZZ_SECONDS:-12} bash tests/fuzz/run.sh

lint: purity ## Format, clippy, and (where cargo-deny is installed) licences and advisories
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny --locked check; else echo "cargo-deny is not installed: licences and advisories not checked"; fi

bench: setup-bench ## The agent beside its peers, in 15 minutes (QUICK=1: one minute; JSON=1: one object a line)
	@$(CARGO) build --release --locked --bins -p engawa-hotel -p engawa-bench $(if $(filter 1,$(JSON)),-q)
	@$(CARGO) build --profile $(if $(filter 1,$(QUICK)),release,dist) --locked -p engawa $(if $(filter 1,$(JSON)),-q)
	@ENGAWA=$${ENGAWA:-target/$(if $(filter 1,$(QUICK)),release,dist)/engawa} JSON=$(JSON) target/release/engawa-bench $(if $(filter 1,$(QUICK)),--quick) $(BENCH_ARGS)

bench-journal: ## The gateway's outbox: rows a second, bytes a row, and a month without the cloud (ROOMS=, DAYS=)
	@$(CARGO) bench -q --locked -p engawa-store --bench journal

bench-guests: ## How fast a guest is found among 100,000 past and present ones (GUESTS=, LOOKUPS=)
	@$(CARGO) bench -q --locked -p engawa-store --bench vault

setup-sync:
	$(call packages,$(SYNC))

setup-soak:
	$(call packages,$(SOAK))

setup-arm:
	$(call packages,$(ARM))
	@bash firmware/arm/setup.sh $(ARM_TARGETS)

setup-power:
	$(call packages,$(POWER))

setup-update: setup-arm
	$(call packages,$(UPDATE))

# Each of ten thousand gateways in one process has a buffer for datagrams (3 MB) that it hardly touches: from the heap,
# where it is used again and so cleared, all of it would be memory.
bench-sync: setup-sync ## The line to the cloud: alarms over a full one, the worst one, back after a week, gateways at once, 1,000,000 rows to PostgreSQL beside Mosquitto and NATS (GATEWAYS=, ROWS=, PEERS=0, QUICK=1, JSON=1, WHAT=alarms, WHAT=backlog)
	@if [ "$(WHAT)" != backlog ]; then \
	  $(CARGO) build --release --locked -q --bins -p engawa -p engawa-cloud -p engawa-hotel -p engawa-line && \
	  ulimit -n $$(ulimit -Hn) && MALLOC_MMAP_THRESHOLD_=131072 target/release/engawa-line-bench $(WHAT) $(if $(filter 1,$(QUICK)),--quick) $(if $(filter 1,$(JSON)),--json); fi
	@if [ "$(or $(WHAT),backlog)" = backlog ]; then \
	  ROWS=$${ROWS:-$(if $(filter 1,$(QUICK)),100000,1000000)} $(CARGO) bench -q --locked -p engawa-cloud --bench backlog; fi

bench-rollout: ## A release to 500 gateways over real links: windows, rings, the cloud killed meanwhile; and one that fails on a tenth (GATEWAYS=, QUICK=1, JSON=1)
	@$(CARGO) build --release --locked -q --bins -p engawa-cloud -p engawa-line
	@ulimit -n $$(ulimit -Hn) && target/release/engawa-line-bench rollout $(if $(filter 1,$(QUICK)),--quick) $(if $(filter 1,$(JSON)),--json)

soak: setup-test setup-soak ## Fuzzing (FUZZ_SECONDS, 600 a target), random PMS days (DAYS, 100000), histories of the sync (HISTORIES, 10000), bad lines and disks (LINE_SEEDS, 10), power cuts (CUTS, 1000), a supervisor that is killed (KILLS, 300), days with kills (SEEDS, 20), a database that fails over and one that is restored; mutants last (MUTANTS=0: none)
	$(CARGO) build --locked --workspace --bins
	@CARGO=$(CARGO) FUZZ_KEEP=1 FUZZ_SECONDS=$${FUZZ_SECONDS:-600} FUZZ_SEED=$${FUZZ_SEED:-$$RANDOM} bash tests/fuzz/run.sh
	$(CARGO) test -q --locked -p engawa-cloud --test disaster -- --ignored --nocapture
	@DAYS=$${DAYS:-100000} SEED=$${SEED:-1} $(CARGO) test --release --locked -p engawa-days --test days -- --nocapture
	@HISTORIES=$${HISTORIES:-10000} SEED=$${SEED:-1} $(CARGO) test --release --locked -p engawa-sync --test histories -- --nocapture
	@HISTORIES=$$(( $${HISTORIES:-10000} * 10 )) $(CARGO) test --release --locked -p engawa-model --test settings_converge
	LINE_SEEDS=$${LINE_SEEDS:-10} $(CARGO) test --locked -p engawa-line --test campaign -- --nocapture
	@CUTS=$${CUTS:-1000} SEED=$${SEED:-1} $(CARGO) test --release --locked -p engawa-power --test cuts -- --nocapture
	@KILLS=$${KILLS:-300} SEED=$${SEED:-1} $(CARGO) test -q --locked -p engawa-supervisor --test real kills -- --nocapture
	RULES_CASES=$${RULES_CASES:-20000} $(CARGO) test -q --locked -p engawa-model --test rules
	@for seed in $$(seq 1 $${SEEDS:-20}); do echo "== seed $$seed"; \
	  SEED=$$seed $(CARGO) test -q --locked -p engawa-stage --test kills || exit 1; \
	  SEED=$$seed $(CARGO) test -q --locked -p engawa-link --test link || exit 1; done
	@$(MAKE) --no-print-directory power-guest reproducible
	@if [ "$${MUTANTS:-1}" != 0 ]; then command -v cargo-mutants >/dev/null || $(CARGO) install cargo-mutants --locked; \
	  $(CARGO) run -q --locked -p engawa-mutants -- $(MUTANTS_ARGS); \
	  $(CARGO) run -q --locked -p engawa-mutants -- --set sync $(MUTANTS_ARGS); fi

arm: setup-arm ## The programs for ARM boards in target/out, their sizes, and the tests that matter under qemu-user (ARM_TARGETS=, PROFILE=release: quicker and larger, CLOUD=1: the cloud too, TESTS=0, BUDGET=0)
	@bash firmware/arm/build.sh $(ARM_TARGETS)
	@if [ "$(TESTS)" != 0 ]; then bash firmware/arm/test.sh $(ARM_TARGETS); fi

reproducible: setup-arm ## The commit built twice, in two folders: are the programs the same to the byte? (TARGET=)
	@bash firmware/arm/reproducible.sh

power-guest: setup-power ## Power cuts behind every write of an update, on a real block device in a guest (CUTS=: so many instead, SEED=)
	$(CARGO) build --release --locked -p engawa-supervisor -p engawa-update-power --bins
	@bash tests/update-power/run.sh

setup-image:
	$(call packages,$(IMAGE))

# The programs come from `make arm`, or from ENGAWA= and SUPERVISOR=.
image: setup-image ## A bootable system image for ARM64 in target/image/VERSION (as root; VERSION=, NUMBER=, FLOOR=, KEYS=)
	@bash firmware/image/build.sh

image-test: setup-image ## Boots the image in QEMU, enrols, updates and breaks it (KILLS=2 power cuts, JOBS= at a time, CUTS=3 over the link; WHAT=same,boot,update,broken,refused,kills,app,link)
	$(CARGO) build --locked -p engawa-cloud --bin engawa-cloud
	@python3 firmware/image/test/run.py

bench-update: setup-update ## What an update costs on the line, in seconds and memory, beside RAUC and casync: a whole release, and one changed line (OLD=, NEW=: builds that are there, JSON=1)
	@$(CARGO) build --release --locked -q -p engawa-update --example delta
	@bash tests/bench/update.sh

tuf-conformance: setup-packages ## The TUF community's conformance suite against the client (SUITE=folder with its run.sh)
	@[ -x "$(SUITE)/run.sh" ] || { echo "name the suite's folder: make tuf-conformance SUITE=..."; exit 1; }
	$(CARGO) build -q --locked -p engawa-tuf-peer
	@"$(SUITE)/run.sh" target/debug/engawa-tuf-client

purity: ## Pure code has no runtime, socket, file or clock
	@bash tests/purity.sh

install: ## Install the agent and its systemd unit on this machine (as root; DESTDIR and PREFIX are honoured)
	@DESTDIR=$(DESTDIR) PREFIX=$(or $(PREFIX),/usr/local) bash deploy/install.sh

uninstall: ## Remove what `make install` put there; configuration and data stay (PURGE=1 removes them too)
	@DESTDIR=$(DESTDIR) PREFIX=$(or $(PREFIX),/usr/local) bash deploy/uninstall.sh $(if $(filter 1,$(PURGE)),--purge)
