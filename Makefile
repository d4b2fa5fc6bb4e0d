# make lists the targets. What the continuous build calls is check and test (.ci/run).

GO      ?= go
VERSION ?=
# What git knows of the commit is in the program anyway; a release gives its name with VERSION=v1.2.3.
LDFLAGS  = $(if $(VERSION),-ldflags '-X main.version=$(VERSION)')
# The variants of the test recipe only change these.
TESTFLAGS ?= -timeout 15m
FUZZTIME  ?= 10s
# Modules beside the main one: what only tests and linting need is not in the go.mod users get.
MODULES = . tests tools

.PHONY: help build run test race fmt vet lint fuzz golden bench bench-end check demo clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/firn
	$(GO) build $(LDFLAGS) -o bin/firn ./cmd/firn

run: build ## build, then serve ./firn-data on 127.0.0.1:8787
	bin/firn serve

test: ## all tests of all modules
	@set -e; for m in $(MODULES); do echo "$(GO) -C $$m test $(TESTFLAGS) ./..."; $(GO) -C $$m test $(TESTFLAGS) ./...; done

race: ## the short tests of the main module under the race detector
	$(GO) test -race -short $(TESTFLAGS) ./...

fmt: ## gofmt in place
	gofmt -w $$(git ls-files '*.go')

vet: ## gofmt as a check, and go vet
	@bad=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$bad" ]; then echo "not formatted (make fmt):"; echo "$$bad"; exit 1; fi
	@set -e; for m in $(MODULES); do echo "$(GO) -C $$m vet ./..."; $(GO) -C $$m vet ./...; done

lint: vet bin/staticcheck ## vet, staticcheck, and which package may import which
	@set -e; for m in $(MODULES); do echo "staticcheck in $$m"; (cd $$m && $(CURDIR)/bin/staticcheck ./...); done
	$(GO) -C tools build -o ../bin/ ./arrows
	bin/arrows

bin/staticcheck: tools/go.mod tools/go.sum
	$(GO) -C tools build -o ../bin/ honnef.co/go/tools/cmd/staticcheck

fuzz: ## every fuzz target for FUZZTIME each (10s)
	@set -e; for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x $$p; \
		done; \
	done

golden: ## write the golden files anew; look at the diff before you commit it
	$(GO) test -count=1 $$(git grep -l 'flag.Bool("update"' -- '*_test.go' | xargs -n1 dirname | sort -u | sed 's|^|./|') -update

bench: ## the benchmarks beside the code
	$(GO) test -run '^$$' -bench . -benchmem ./...

bench-end: ## the whole program, socket to block files, beside plain bbolt (docs/performance.md)
	$(GO) test ./bench -run '^$$' -bench EndToEnd -benchtime 1x -v

check: lint race ## what must be clean before a commit: format, vet, lint, race

demo: build ## a daemon on a free port: records in, archived, read back with the plan, stopped
	demo/run.sh bin/firn

clean: ## remove what was built
	rm -rf bin
