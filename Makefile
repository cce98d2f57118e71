# `make` lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LISTEN   ?= 127.0.0.1:8080
DATA     ?= data
FUZZTIME ?= 5s

GOARCH   := $(shell $(GO) env GOARCH 2>/dev/null)
STATIC   := CGO_ENABLED=0 $(GO) build -trimpath
LDFLAGS  := -s -w -X main.version=$(VERSION)
PROGRAMS := $(filter-out bin/hanshu-edge,$(patsubst cmd/%/main.go,bin/%,$(wildcard cmd/*/main.go)))
GATEWAYS := bin/hanshu-edge-amd64 bin/hanshu-edge-arm64
INIT     := internal/sandbox/native/init
INITBIN  := internal/sandbox/native/initbin
WASM     := internal/lang/wasm/worker
ADAPTORS := gorpc web
ADAPTOR  := internal/lang/adaptor
JAVA     := internal/lang/java
LINT     := .cache/bin/golangci-lint-v2.15.0

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## check, and as root install, what the build and the tests need
	@test/deps.sh

.PHONY: build
build: ## build the programs into bin
	@test/deps.sh build
	@$(MAKE) --no-print-directory init worker $(PROGRAMS) bin/hanshu-edge

# The first process of a sandbox, the workers of functions that bring an executable, and that of the WASM runtime. They are embedded
# in the server, so they are built before everything that compiles the server, tests included. Go's own cache knows when there is
# nothing to do.
.PHONY: init
init:
	@$(MAKE) --no-print-directory init-$(GOARCH)
	@for name in $(ADAPTORS); do \
	  mkdir -p $(ADAPTOR)/adaptorbin/$$name-$(GOARCH); \
	  GOOS=linux $(STATIC) -ldflags="-s -w" -o $(ADAPTOR)/adaptorbin/$$name-$(GOARCH)/adaptor ./$(ADAPTOR)/$$name || exit 1; \
	done
	@mkdir -p $(ADAPTOR)/adaptorbin/wasm-$(GOARCH)
	GOOS=linux $(STATIC) -ldflags="-s -w" -o $(ADAPTOR)/adaptorbin/wasm-$(GOARCH)/adaptor ./$(WASM)

# Packed: a gateway has little room, and reading it once costs milliseconds.
.PHONY: init-amd64 init-arm64
init-amd64 init-arm64: init-%:
	@mkdir -p .cache/init/$*
	GOOS=linux GOARCH=$* $(STATIC) -ldflags="-s -w" -o .cache/init/$*/hanshu-init ./$(INIT)
	@gzip -9nc .cache/init/$*/hanshu-init > .cache/init/$*/hanshu-init.gz
	@cmp -s .cache/init/$*/hanshu-init.gz $(INITBIN)/$*/hanshu-init.gz || mv .cache/init/$*/hanshu-init.gz $(INITBIN)/$*/

# What runs functions in Java is embedded too, compiled. Without a Java compiler the server is built without it, and says so
# when it is asked for Java.
.PHONY: worker
worker:
	@if command -v javac >/dev/null; then $(MAKE) --no-print-directory $(JAVA)/dist/worker.jar; \
	else rm -rf $(JAVA)/dist/*; echo "no javac, so this build will run no functions in Java (Debian: default-jdk-headless)"; fi

$(JAVA)/dist/worker.jar: $(shell find $(JAVA)/worker -type f) Makefile
	@rm -rf .cache/java $(JAVA)/dist/* && mkdir -p .cache/java
	javac -Xlint:-options --release 8 -encoding UTF-8 -d .cache/java $$(find $(JAVA)/worker -name '*.java')
	@mv .cache/java/warm $(JAVA)/dist/ && mkdir $(JAVA)/dist/warm/warm && mv $(JAVA)/dist/warm/*.class $(JAVA)/dist/warm/warm/
	jar cfm $@ $(JAVA)/worker/manifest.txt -C .cache/java .

.PHONY: $(PROGRAMS)
$(PROGRAMS): bin/%: init worker
	$(STATIC) -ldflags="$(LDFLAGS)" -o $@ ./cmd/$*

# The agent of gateways, for both processors that they have. Without HTTP/2, and without inlining in the largest of its libraries,
# it keeps to its 20 MB.
LEAN := -tags nethttpomithttp2 -gcflags=github.com/nats-io/nats-server/v2/server=-l
.PHONY: $(GATEWAYS)
$(GATEWAYS): bin/hanshu-edge-%: init-% worker
	GOOS=linux GOARCH=$* $(STATIC) $(LEAN) -ldflags="$(LDFLAGS)" -o $@ ./cmd/hanshu-edge

.PHONY: bin/hanshu-edge
bin/hanshu-edge: $(GATEWAYS)
	@cp bin/hanshu-edge-$(GOARCH) $@

.PHONY: run
run: ## build, then start a server on 127.0.0.1:8080 (LISTEN=, DATA=)
	@test/deps.sh run
	@$(MAKE) --no-print-directory build
	@exec bin/hanshu serve --listen $(LISTEN) --data-dir $(DATA)

.PHONY: test
test: ## run every test; ends with a summary
	@test/deps.sh
	@$(MAKE) --no-print-directory build
	@test/run.sh

.PHONY: lint
lint: init worker $(LINT) ## gofmt, go vet, golangci-lint and the walls
	@unformatted=$$(find . -name '*.go' -not -path '*/node_modules/*' -not -path './.cache/*' -exec gofmt -l {} +); \
	if [ -n "$$unformatted" ]; then printf 'not formatted by gofmt:\n%s\n' "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(LINT) run ./...
	$(GO) test ./test/archtest

$(LINT):
	@mkdir -p $(dir $@)
	GOBIN=$(CURDIR)/$(dir $@) $(GO) install -trimpath github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	mv $(dir $@)golangci-lint $@

.PHONY: docs
docs: ## write the parts of docs/ that are generated from the code
	$(GO) test ./test/compat -run TestTableOfOperations -update

.PHONY: bench
bench: build ## measure beside the floors, side by side in one run
	$(GO) run ./bench

.PHONY: fuzz
fuzz: init worker ## run each fuzz target for FUZZTIME (5s)
	@$(GO) list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... | while read -r package; do \
	  { $(GO) test -list '^Fuzz' "$$package" | grep '^Fuzz' || true; } | while read -r target; do \
	    echo "== $$package $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package"; \
	  done; \
	done

.PHONY: clean
clean: ## remove what the build and the tests left, but not a server's data
	rm -rf bin .cache $(INITBIN)/*/hanshu-init* $(ADAPTOR)/adaptorbin/*-* $(JAVA)/dist/* test/node/node_modules test/minapp/node_modules
