# make help tells what there is.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

# How long make fuzz tries each fuzz test.
FUZZTIME ?= 20s

.PHONY: help build demo test lint fuzz bench bench-archive clean

help: ## say what each target does
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

build: ## build bin/partitiond, with its version
	$(GO) build -trimpath -buildvcs=false -ldflags '-X main.stamp=$(VERSION)' -o bin/partitiond ./cmd/partitiond

demo: build ## show it at work, on a throw-away PostgreSQL
	@.ci/ensure-postgres
	bin/partitiond demo

# Always anew: the go command's cache knows nothing of PostgreSQL's programs. The
# race detector takes memory of its own, so how much is needed is tested without it.
test: ## run all tests, on throw-away PostgreSQL servers
	$(GO) test -race -count=1 -timeout 20m ./...
	$(GO) test -count=1 -run '^TestMemory$$' ./maintenance/archive/...

lint: ## look for mistakes with go vet and staticcheck
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

fuzz: ## run each fuzz test for FUZZTIME
	GO='$(GO)' .ci/fuzz $(FUZZTIME)

bench: ## compare with what there is: routing, reads, removals; BENCH='-only reads' for a part
	@.ci/ensure-postgres
	$(GO) run ./maintenance/bench $(BENCH)

bench-archive: ## compare ways to archive and restore, on a throw-away PostgreSQL
	@.ci/ensure-postgres
	$(GO) run ./maintenance/bench/archive

clean: ## remove what build made
	rm -rf bin
