# Every target carries its help text behind two hashes; `make help` prints them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

GO ?= go
# The build takes its version from the tag, not from the go command's own look
# at the repository, which fails where another user owns the directory.
export GOFLAGS := $(strip $(filter-out -buildvcs=%,$(GOFLAGS)) -buildvcs=false)

VERSION = $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
SOURCES := $(wildcard bench cmd engine proxy scripts tls)
REPORT = $(GO) run ./cmd/internal/testreport $(REPORT_FLAGS)

# Set on the command line: make fuzz FUZZ_SECONDS=600, make sim SEED=42, make bench BENCH=Frame.
REPORT_FLAGS ?=
CHECK_FUZZ_SECONDS ?= 5
FUZZ_SECONDS ?= 60
FUZZ ?=
SEED ?= 1
CHECK_SEEDS ?= 500
BENCH ?= .
BENCH_PACKAGES ?= ./proxy/... ./engine/... ./tls/...
# Further flags of culvert-bench: make bench-quick BENCH_FLAGS='--rows ^tls --rounds 3'. Results that are to be
# committed: make bench-quick BENCH_OUT=bench/results/quick-DATE.json bench-table.
BENCH_FLAGS ?=
BENCH_OUT ?= .cache/bench-quick.json
CURVES_OUT ?= bench/results/curves-$(shell date -u +%F).json
MUTANT ?=
# make conformance CONFORMANCE_FLAGS=-peers runs nginx and HAProxy too and writes docs/conformance.md.
CONFORMANCE_FLAGS ?=

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: build ## build Culvert and start its demonstration
	bin/culvert demo

.PHONY: build
build: ## build bin/culvert and bin/culvert-bench, stamped with their version
	@mkdir -p bin
	@echo "Building bin/culvert; the first time this takes a minute or so."
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/ ./cmd/culvert ./cmd/culvert-bench

.PHONY: test
test: ## run the whole suite, bulk volumes included (at most 5 minutes on 2 cores)
	$(GO) test -json -timeout 5m ./... | $(REPORT)

.PHONY: check
check: check-format check-vet check-static check-house test conformance race check-fuzz check-seeds ## what CI runs: formatting, vet, staticcheck, house rules, the suite with and without -race, other projects' suites, short fuzzing, fresh simulations

.PHONY: check-format
check-format: ## fail if gofmt would change a file
	@found="$$(gofmt -l $(SOURCES))"; \
	if [ -n "$$found" ]; then echo "gofmt wants to change:"; echo "$$found"; exit 1; fi

.PHONY: check-vet
check-vet: ## run go vet
	$(GO) vet ./...

.PHONY: check-static
check-static: ## run staticcheck, at a pinned version
	$(GO) run $(STATICCHECK) ./...

.PHONY: check-house
check-house: ## check the house rules alone (also part of the suite)
	$(GO) test ./cmd/internal/tidy

.PHONY: check-fuzz
check-fuzz: ## run every fuzzer for a few seconds (CHECK_FUZZ_SECONDS)
	$(GO) run ./cmd/internal/fuzzers -seconds $(CHECK_FUZZ_SECONDS)

# The suite runs the same seeds every time. Those of one second begin a thousand after those of the one before.
.PHONY: check-seeds
check-seeds: ## run the simulation with seeds that nobody has run before (CHECK_SEEDS)
	@from="$$(date +%s)000"; echo "The simulation runs $(CHECK_SEEDS) fresh seeds, from $$from on."; \
	$(GO) test ./proxy/sim -count=1 -run '^TestSimulation$$' -seeds=$(CHECK_SEEDS) -from="$$from"

.PHONY: race
race: ## run the suite once under the race detector, with reduced volumes (needs gcc)
	CGO_ENABLED=1 $(GO) test -race -json -timeout 10m ./... | $(REPORT)

.PHONY: conformance
conformance: build ## run suites of other projects against Culvert (CONFORMANCE_FLAGS: -peers, -verbose, -run regexp)
	scripts/conformance-sources.sh
	$(GO) run ./cmd/internal/conformance $(CONFORMANCE_FLAGS)

.PHONY: fuzz
fuzz: ## run every fuzzer for FUZZ_SECONDS each (default 60); FUZZ=name picks
	$(GO) run ./cmd/internal/fuzzers -seconds $(FUZZ_SECONDS) -run '$(FUZZ)'

.PHONY: sim
sim: ## replay one simulation: make sim SEED=n
	@[[ '$(SEED)' =~ ^[1-9][0-9]*$$ ]] || { echo "make sim: SEED=$(SEED): not a seed; seeds are whole numbers from 1 on" >&2; exit 2; }
	$(GO) test ./proxy/sim -count=1 -v -run '^TestSimulation$$' -seed=$(SEED)

.PHONY: bench
bench: ## run the benchmarks with their allocations; BENCH=regexp picks
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem $(BENCH_PACKAGES)

.PHONY: bench-peers
bench-peers: build ## install what bench-quick compares with (Debian's nginx and HAProxy), and compile the floor
	scripts/bench-peers.sh

.PHONY: bench-quick
bench-quick: bench-peers ## compare with nginx, HAProxy and the floor, side by side (about 9 minutes, half of them TLS)
	@mkdir -p "$$(dirname "$(BENCH_OUT)")"
	bin/culvert-bench quick --out "$(BENCH_OUT)" $(BENCH_FLAGS)

.PHONY: bench-table
bench-table: build ## put the newest of bench/results/ into the README
	bin/culvert-bench table --update README.md

.PHONY: bench-profile
bench-profile: build ## CPU profile, system calls, waits and allocations per message, of Culvert under each row (needs perf or strace)
	bin/culvert-bench profile $(BENCH_FLAGS)

.PHONY: bench-curves
bench-curves: build ## measure and draw what --loops, --read-buffer and --splice-threshold trade
	bin/culvert-bench curves --out "$(CURVES_OUT)" $(BENCH_FLAGS)

.PHONY: mutants
mutants: ## break the code on purpose and see the suite notice; MUTANT=regexp picks
	$(GO) run ./cmd/internal/mutants -run '$(MUTANT)'

.PHONY: fmt
fmt: ## format all Go files
	gofmt -w $(SOURCES)

.PHONY: clean
clean: ## remove what the build left behind
	rm -rf bin .cache
