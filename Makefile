# make test      everything that CI checks; first it says what is missing (gcc, redis-server, Node.js, haproxy and
#                others, and npm packages) and installs it
# make check     the quick part of it: format, vet, staticcheck
# make unit      the race tests of all packages; make memory, make sim and make e2e are the other parts
# make sim       simulated clusters, broken by SEEDS seeds (0: those of every day); SIM has more flags, see cluster/sim
# make bench     the benchmarks
# make fuzz      each fuzz target for FUZZTIME (10s)
# make demo      three nodes on an embedded Redis
# make client-bundle   the embedded JavaScript client anew, after a change of e2e/package.json

# Nobody's environment decides what is tested.
export GOFLAGS := -buildvcs=false
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

FUZZTIME ?= 10s
# One package takes no longer than this; a test that hangs shows its goroutines then.
TIMEOUT ?= 20m
# The oldest Node.js that the scripts of e2e run with.
NODE_MAJOR := $(shell sed -n 's/.*"node": ">=\([0-9]*\)".*/\1/p' e2e/package.json)

MODULES := e2e/node_modules/.installed
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: test check unit memory sim e2e deps tools bench fuzz demo client-bundle clean

test: deps check unit memory sim e2e

check:
	@unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then echo "not gofmt'ed:"; echo "$$unformatted"; exit 1; fi
	go mod tidy -diff
	go vet ./...
	go tool staticcheck ./...
	@counting=$$(grep -rlE 'AllocsPerRun|ReadMemStats' --include='*_test.go' --exclude=memory_test.go --exclude-dir=node_modules . || true); \
	if [ -n "$$counting" ]; then echo "these count memory, which belongs into a memory_test.go:"; echo "$$counting"; exit 1; fi

# Of e2e only leaktest, which the other packages' tests use.
unit:
	go test -race -timeout $(TIMEOUT) $$(go list ./... | grep -vE '/e2e($$|/[^l])')

# What counts allocations or the memory of the process: without the race detector, which allocates and makes
# pools drop what they hold, and alone in its process.
memory:
	go test -count=1 -timeout $(TIMEOUT) -run '^TestMemory_' $$(find . -name memory_test.go -not -path '*/node_modules/*' -exec dirname {} ';' | sort)

# Without the race detector, which ran over a few seeds in unit, a seed takes about a second.
SEEDS ?= 0
SIM ?=
sim:
	go test -count=1 -timeout 24h ./cluster/sim -run Seeds -sim.seeds $(SEEDS) $(SIM)

# -count=1: go's cache of results does not see the scripts. On its own, because its
# processes want the machine for themselves.
e2e:
	go test -race -count=1 -timeout $(TIMEOUT) ./e2e/...

deps: tools $(MODULES)

# Debian's packages, and only those whose program is not there. The race detector takes cgo, and that a C compiler.
tools:
	@missing=""; \
	read -r cc _ <<<"$$(go env CC)"; command -v "$$cc" >/dev/null || missing="$$missing gcc libc6-dev"; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	command -v node >/dev/null || missing="$$missing nodejs"; \
	command -v npm >/dev/null || missing="$$missing npm"; \
	command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || missing="$$missing haproxy"; \
	command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing="$$missing nginx-light"; \
	command -v promtool >/dev/null || missing="$$missing prometheus"; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	if [ -n "$$missing" ]; then \
		if ! command -v apt-get >/dev/null; then \
			echo "these are missing, and there is no apt-get to install them:$$missing"; exit 1; \
		fi; \
		echo "make test installs what is missing, with apt-get:$$missing"; \
		$(SUDO) apt-get update -q; \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing; \
	fi
	@# The distribution's may be old, and whatever stands earlier in the PATH counts.
	@version=$$(node --version); major=$${version#v}; major=$${major%%.*}; \
	if [ "$$major" -lt $(NODE_MAJOR) ]; then \
		echo "$$(command -v node) is Node.js $$version; the tests need $(NODE_MAJOR) or later: https://nodejs.org/en/download"; exit 1; \
	fi

# npm ci empties node_modules, the stamp with it: a run that was cut off leaves no stamp.
$(MODULES): e2e/package.json e2e/package-lock.json
	cd e2e && npm ci --no-audit --no-fund --ignore-scripts
	touch $@

bench:
	go test -run '^$$' -bench . -benchmem ./...

# go test takes one fuzz target of one package at a time.
fuzz:
	@for package in $$(go list ./...); do \
		targets=$$(go test -list '^Fuzz' $$package); \
		for target in $$(grep '^Fuzz' <<<"$$targets" || true); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

demo:
	go run ./cmd/dynamicio demo

client-bundle: $(MODULES)
	go generate ./node/client

clean:
	rm -rf e2e/node_modules
