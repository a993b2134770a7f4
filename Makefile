# Everything a developer runs. The tools are pinned and built into dev/bin; only the first call of each waits for that.

GO            ?= go
BIN           := $(CURDIR)/dev/bin
GOLANGCI_LINT := v2.15.0
WORKFLOWCHECK := v0.6.0
GOVULNCHECK   := v1.9.0

# The race detector needs a C compiler. Where there is none the tests run without it, and say so.
RACE = $(shell command -v $$($(GO) env CC) >/dev/null 2>&1 && [ "$$($(GO) env CGO_ENABLED)" = 1 ] && echo -race)

.DEFAULT_GOAL := help
.PHONY: help demo run test build unit race e2e conformance lint vet determinism vuln fuzz bench match-quality gen verify tools clean distclean
.PHONY: dev temporal golangci-lint workflowcheck

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: dev ## run the main job from end to end on a stack of its own, and check the result; PROVIDER=1 for that of a provider
	@$(BIN)/dev demo $(if $(PROVIDER),--provider)

run: dev ## bring up a stack that keeps its data, with URLs and curl lines; Ctrl-C stops it
	@exec $(BIN)/dev run

test: vet lint determinism race e2e verify ## everything that must hold before a change goes in
	@echo "test: ok"

build: dev ## build api, worker and dev into dev/bin
	$(GO) build -o $(BIN)/ ./api ./worker

# What needs no running product: every package but the end-to-end tests.
UNIT = $(shell $(GO) list ./... | grep -v '/dev/e2e')

unit: dev temporal ## the tests of the packages, with one Postgres for all
	$(BIN)/dev with-postgres -- $(GO) test $(UNIT)

race: dev temporal ## the same under the race detector
	@[ -n "$(RACE)" ] || echo "race: there is no C compiler, so the race detector is left out"
	$(BIN)/dev with-postgres -- $(GO) test $(RACE) $(UNIT)

e2e: temporal ## the product from outside: real processes, real Postgres, real Temporal
	$(GO) test -count=1 -timeout 20m ./dev/e2e/...

conformance: dev temporal ## hold the server against the requirements, and print what came of each; PDEX_CONFORMANCE_URL names another server
	@$(BIN)/dev conformance

lint: golangci-lint ## golangci-lint, with the layering rules of .golangci.yml
	$(BIN)/golangci-lint run ./...

vet: ## go vet
	$(GO) vet ./...

determinism: workflowcheck ## that the workflows are deterministic
	$(BIN)/workflowcheck ./workflows/...

vuln: ## known vulnerabilities of what is used; VULNDB=file:///... names a database where vuln.go.dev is out of reach
	$(GO) run golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK) $(if $(VULNDB),-db $(VULNDB)) -test ./...

FUZZTIME ?= 10s

fuzz: ## every fuzz test for FUZZTIME each
	@set -e; for pkg in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for name in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$pkg/*_test.go | cut -c6- | sort -u); do \
			echo "fuzz: $$pkg $$name"; \
			$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

bench: dev ## measure imports, matches and exports against the same work done by hand
	@$(BIN)/dev bench match --roster 10000,100000,1000000
	@$(GO) test ./activities -run - -bench ImportRules -benchtime 5x
	@$(BIN)/dev bench

match-quality: dev ## measure how well members are found, and that nobody is taken for another
	@$(BIN)/dev match-quality

gen: dev ## make what is made of the code again: openapi/openapi.yaml, tables in the documentation
	$(BIN)/dev openapi
	$(BIN)/dev docs

verify: ## that what "make gen" makes is up to date, and that the documentation holds
	$(GO) test -count=1 ./openapi/... ./dev/docs/...

tools: temporal golangci-lint workflowcheck ## build the Temporal development server and the linters, where they are missing

clean: ## throw away the state of "make run" and what tests left
	rm -rf dev/.state dev/tmp

distclean: clean ## and the tools
	rm -rf dev/bin

dev:
	@mkdir -p $(BIN)
	@$(GO) build -o $(BIN)/dev ./dev

temporal: dev
	@$(BIN)/dev tools

golangci-lint:
	@$(call install,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,$(GOLANGCI_LINT))

workflowcheck:
	@$(call install,workflowcheck,go.temporal.io/sdk/contrib/tools/workflowcheck,$(WORKFLOWCHECK))

# install,name,path,version builds a tool into dev/bin, unless it is there in that version.
define install
$(GO) version -m $(BIN)/$(1) 2>/dev/null | awk -v path=$(2) -v version=$(3) \
	'$$1 == "path" { p = $$2 } $$1 == "mod" { v = $$3 } END { exit p != path || v != version }' || { \
	echo "building $(1) $(3); this is done once"; GOBIN=$(BIN) GOFLAGS= GOWORK=off $(GO) install $(2)@$(3); }
endef
