# make test      everything that CI checks; installs what is missing first (redis-server, Node.js, npm packages, haproxy, nginx, prometheus)
# make check     the quick part of it: format, vet, staticcheck
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
TIMEOUT ?= 10m

MODULES := e2e/node_modules/.installed
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: test check unit deps tools bench fuzz demo client-bundle clean

test: deps check unit

check:
	@unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then echo "not gofmt'ed:"; echo "$$unformatted"; exit 1; fi
	go mod tidy -diff
	go vet ./...
	go tool staticcheck ./...

unit:
	go test -race -timeout $(TIMEOUT) $$(go list ./... | grep -v /e2e)
	# -count=1: go's cache of results does not see the scripts. On its own, because
	# its processes want the machine for themselves.
	go test -race -count=1 -timeout $(TIMEOUT) ./e2e/...

deps: tools $(MODULES)

# Debian's packages, and only those whose program is not there.
tools:
	@missing=""; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	command -v node >/dev/null || missing="$$missing nodejs"; \
	command -v npm >/dev/null || missing="$$missing npm"; \
	command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || missing="$$missing haproxy"; \
	command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing="$$missing nginx-light"; \
	command -v promtool >/dev/null || missing="$$missing prometheus"; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	if [ -n "$$missing" ]; then \
		echo "installing$$missing"; \
		$(SUDO) apt-get update -q; \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing; \
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
