# What to type. Each target sets up for itself what it needs: `make run` for a first sound, `make test` for the whole suite.
#
# On Debian and Raspberry Pi OS missing packages are installed by apt (through sudo, if you are not root). Elsewhere they
# are named, and you install them. Rust comes from https://rustup.rs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export PATH := $(HOME)/.cargo/bin:$(PATH)
export DEBIAN_FRONTEND := noninteractive

# To build; to test against real peers; to check for a Pi's processors (ring has C in it); to measure beside them.
BUILD_PACKAGES := build-essential pkg-config libasound2-dev libjack-jackd2-dev
TEST_PACKAGES := python3-venv puredata-core pd-osc pd-mrpeach-net liblo-tools jackd2 iproute2
CROSS_PACKAGES := gcc-arm-linux-gnueabihf libc6-dev-armhf-cross gcc-aarch64-linux-gnu libc6-dev-arm64-cross
BENCH_PACKAGES := liblo-dev liboscpack-dev supercollider-server

# The python-osc versions that the tests play with: the one most tutorials pin, and the newest.
PYTHON_OSC := 1.9.3 1.10.2
VENVS := $(PYTHON_OSC:%=.venv/python-osc-%/ready) .venv/tcposcrouter/ready

# RealtimeSanitizer's runtime comes with rustup's toolchains, where it comes at all: that for this machine, not for one we only check for.
RUST_HOST = $(shell rustc -vV | sed -n 's/^host: //p')
RTSAN_RUNTIME = $(firstword $(wildcard $(shell rustc --print sysroot)/lib/rustlib/$(RUST_HOST)/lib/librustc-*_rt.rtsan.a \
	$(HOME)/.rustup/toolchains/*/lib/rustlib/$(RUST_HOST)/lib/librustc-*_rt.rtsan.a))

.PHONY: run test lint portable rtsan bench bench-router bench-sync bench-company setup rust build-packages test-packages \
	cross-packages bench-packages

run: rust build-packages
	cargo build --release --features jack --locked
	samples/demo.sh target/release/downbeat

test: lint portable setup
	cargo check --workspace --all-targets --no-default-features --locked
	if [ "$(RTSAN_RUNTIME)" ]; then $(MAKE) rtsan; else echo "no RealtimeSanitizer runtime: make rtsan is left out"; fi
	cargo test --workspace --features jack --locked

lint: rust build-packages
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features jack --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# What people build who are not here: 32 and 64 bit Raspberry Pi OS (without a sound card, which would need ALSA of those
# processors), and the oldest compiler that Cargo.toml promises.
PI_TARGETS := armv7-unknown-linux-gnueabihf aarch64-unknown-linux-gnu
OLDEST = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

portable: rust cross-packages
	@command -v rustup > /dev/null || { \
		echo "no rustup: checks for other processors and for the oldest compiler are left out" >&2; exit 0; }; \
	set -x; \
	for target in $(PI_TARGETS); do \
		rustup target list --installed | grep -qx "$$target" || rustup target add "$$target"; \
		cargo check --workspace --no-default-features --target "$$target" --target-dir target/portable --locked; \
	done; \
	rustup run $(OLDEST) rustc --version || rustup toolchain install --profile minimal $(OLDEST); \
	cargo +$(OLDEST) check --workspace --all-targets --features jack --target-dir target/oldest --locked

# The audio callback under RealtimeSanitizer, which aborts on a lock or a system call. In a folder of its own: what is linked with
# the sanitizer is linked otherwise.
rtsan: rust
	@[ "$(RTSAN_RUNTIME)" ] || { echo "no RealtimeSanitizer runtime; rustup toolchain install nightly brings one" >&2; exit 1; }
	RTSAN_ENABLE=1 RTSAN_LIB_PATH=$(RTSAN_RUNTIME) cargo test --test realtime --no-default-features --features rtsan \
		--target-dir target/rtsan --locked

# As root for all of it: what puts a network between two nodes is left out elsewise.
bench: setup bench-packages .venv/nats-server/ready
	cargo bench --features jack --locked --bench '*'

# Peers' clocks in virtual time: needs no peers and no quiet machine (its last table does).
bench-sync: rust build-packages
	cargo bench --locked --bench sync

# Real nodes whose leader dies, stops, is set; and what their clocks cost. Needs no peers and no root; ten minutes.
bench-company: rust build-packages
	cargo bench --locked --bench company

# A node on a JACK server that dies and stands still 500 times. Needs jackd and no sound card; less than ten minutes.
bench-faults: rust build-packages test-packages
	cargo bench --features jack --locked --bench faults

# The router beside the one whose place it takes. More than twenty minutes, ten of them a soak.
bench-router: rust build-packages .venv/tcposcrouter/ready .venv/nats-server/ready
	cargo bench --features jack --locked --bench router

setup: rust build-packages test-packages $(VENVS)

.venv/python-osc-%/ready: | test-packages
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check python-osc==$*
	touch $@

# The router whose place ours takes, with the sliplib that it was written for: newer ones leave its SLIP port deaf.
.venv/tcposcrouter/ready: | test-packages
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check tcposcrouter==0.2.0 sliplib==0.6.2 python-osc==1.10.2
	touch $@

# Only unpacked: installed, it would be a service that runs from then on.
.venv/nats-server/ready: | build-packages
	rm -rf $(@D) && mkdir -p $(@D)
	cd $(@D) && if command -v apt-get > /dev/null && apt-get download --quiet nats-server; then dpkg -x nats-server_*.deb . && \
		rm nats-server_*.deb && touch ready; else echo "no nats-server here, its rows will be missing" >&2; fi

rust:
	@command -v cargo > /dev/null || { echo "Rust is missing; install it from https://rustup.rs, then try again" >&2; exit 1; }

build-packages:
	@$(call install,$(BUILD_PACKAGES))

test-packages:
	@$(call install,$(BUILD_PACKAGES) $(TEST_PACKAGES))

cross-packages:
	@$(call install,$(BUILD_PACKAGES) $(CROSS_PACKAGES))

bench-packages:
	@$(call install,$(BUILD_PACKAGES) $(TEST_PACKAGES) $(BENCH_PACKAGES))

# Asks dpkg which of the packages are missing, and apt to install those.
define install
	command -v dpkg-query > /dev/null || { \
		echo "This is not Debian. What is needed, by Debian's names: $(1)" >&2; exit 0; }; \
	missing=$$(comm -23 <(printf '%s\n' $(1) | sort) \
		<(dpkg-query -W -f '$${db:Status-Abbrev} $${Package}\n' $(1) 2> /dev/null | sed -n 's/^ii  //p' | sort)); \
	[ -z "$$missing" ] && exit 0; \
	echo "Installing:" $$missing; \
	if [ "$$(id -u)" = 0 ]; then sudo=; else sudo="sudo --preserve-env=DEBIAN_FRONTEND"; fi; \
	$$sudo apt-get update -qq || true; \
	$$sudo apt-get install -y -qq --no-install-recommends $$missing < /dev/null
endef
