# make help tells what there is.

GO      ?= go
DOCKER  ?= docker
VERSION ?= $(shell git describe --tags --always --dirty --abbrev=12 2>/dev/null || echo devel)

# The time of the sources, in place of the time of the build (reproducible-builds.org).
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

# How long make fuzz tries each fuzz test.
FUZZTIME ?= 20s

# Packs the Debian package. It is run by its version instead of being a tool in
# go.mod: it needs more than fifty modules, none of which the program needs. Later
# versions need modules that are not to be had from the Go module proxy.
NFPM ?= $(GO) run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0

.PHONY: help build deb image demo test test-matrix test-deb prove soak lint vulnerabilities fuzz bench bench-archive clean

help: ## say what each target does
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

# Static, so that it runs on any Linux and in an empty image; and the same for the
# same sources and the same Go, wherever it is built.
build: ## build bin/partitiond, with its version
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '-s -w -X main.stamp=$(VERSION)' -o bin/partitiond ./cmd/partitiond

deb: build ## build a Debian package in bin
	GO='$(GO)' NFPM='$(NFPM)' GOARCH='$(shell $(GO) env GOARCH)' SOURCE_DATE_EPOCH='$(SOURCE_DATE_EPOCH)' \
		systemd/package/build bin/partitiond '$(VERSION)' bin

image: ## build an image for containers, partitiond:VERSION, with DOCKER=docker
	$(DOCKER) build --build-arg VERSION='$(VERSION)' -t partitiond:'$(VERSION)' .

demo: build ## show it at work, on a throw-away PostgreSQL
	@.ci/ensure-postgres
	bin/partitiond demo

# Always anew: the go command's cache knows nothing of PostgreSQL's programs. The
# race detector takes memory of its own, so how much is needed is tested without it.
test: ## run all tests, on throw-away PostgreSQL servers
	$(GO) test -race -count=1 -timeout 45m ./...
	$(GO) test -count=1 -run '^TestMemory$$' ./maintenance/archive/...

# The installed release is make test's.
test-matrix: ## run all tests that need a server with PostgreSQL 14 to 18, from npm; takes an hour
	GO='$(GO)' .ci/test-matrix 14 15 16 17 18 -- ./maintenance/... ./cmd/...

test-deb: ## build the Debian package twice and compare; install, upgrade, remove and purge it aside
	GO='$(GO)' .ci/test-deb

prove: ## crash at every single point, and live through many random histories; takes hours
	PARTITIOND_PROVE=all RAPID_CHECKS=1000 RAPID_SEED=0 $(GO) test -count=1 -v -timeout 0 ./maintenance/prove

# How long make soak lasts. A minute is a month, or a tenth of it if that is less.
SOAK ?= 10m

soak: ## let daemons live through a month a minute for SOAK, and draw their memory in bin/soak.svg
	@mkdir -p bin
	PARTITIOND_SOAK='$(SOAK)' PARTITIOND_SOAK_PLOT='$(CURDIR)/bin/soak.svg' $(GO) test -count=1 -v -timeout 0 -run '^TestSoak$$' ./maintenance/prove

# What gosec is not asked, since each would be a comment in dozens of places:
# G115, that an integer fits the type which it is converted to: the formats of COPY
# and Parquet have fixed widths, OIDs and advisory locks share 32 bits, and the tests
# go to the ends of each type. G204, that a program's name is no constant: it is the
# configuration's, which belongs to root, or PostgreSQL's. G304, likewise for files.
# A single exception is a comment with its reason, as in: #nosec G302 -- why
GOSEC ?= -exclude=G115,G204,G304

lint: ## look for mistakes with go vet, staticcheck and gosec
	$(GO) vet ./...
	$(GO) vet -tags man ./cmd/partitiond
	$(GO) tool staticcheck ./...
	$(GO) -C .ci/lint build -o '$(CURDIR)/bin/gosec' .
	bin/gosec -test=false $(GOSEC) ./...

vulnerabilities: ## look for known vulnerabilities that the program can reach; needs the network
	@GO='$(GO)' .ci/vulnerabilities

fuzz: ## run each fuzz test for FUZZTIME
	GO='$(GO)' .ci/fuzz $(FUZZTIME)

bench: ## compare with what there is: routing, reads, removals, locks, conversions; BENCH='-only reads' for a part
	@.ci/ensure-postgres
	$(GO) run ./maintenance/bench $(BENCH)

bench-archive: ## compare ways to archive and restore, on a throw-away PostgreSQL
	@.ci/ensure-postgres
	$(GO) run ./maintenance/bench/archive

clean: ## remove what build made
	rm -rf bin
