# The modules of the repository, which test and lint work on.
MODULES := . bench examples

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The race detector needs cgo and a C compiler. Without them the tests run
# without it, and say so.
CC_FOUND := $(shell command -v $$(go env CC) 2>/dev/null)
ifeq ($(and $(CC_FOUND),$(filter 1,$(shell go env CGO_ENABLED))),)
RACE :=
RACE_NOTE := echo 'No C compiler found: the tests run without the race detector.'
else
RACE := -race
RACE_NOTE := :
endif

# Each module is built with its own go.mod, as its users do, not with go.work.
each = @set -e; for m in $(MODULES); do echo "== $$m: $(1)"; (cd $$m && GOWORK=off $(1)); done

# An hour of a busy feed: 3,600 s × 20,000 events/s.
HOUR := 72000000

# What make model checks: all, or quick for what CI has time for.
MODEL := all

.PHONY: help demo test soak model bench lint cover ci

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## run the example trading engine on twenty years of the S&P 500
	@cd examples && GOWORK=off go run ./tradingengine

test: ## run the tests of all modules with the race detector
	@$(RACE_NOTE)
	$(call each,go test $(RACE) -timeout 10m ./...)

soak: ## run 10,000 random schedules, and an hour of load on 1, 2 and 8 threads; 10 minutes
	@$(RACE_NOTE)
	GOWORK=off go test $(RACE) -timeout 2h -run '^TestAccountsUnderChaos$$' -seeds 10000
	GOGC=10 GOWORK=off go test -timeout 2h -cpu 1,2,8 -run '^TestSoak$$' -soak $(HOUR)

model: ## check the Promela model of the bus with Spin; 10 minutes, 3 GB of memory
	@command -v spin >/dev/null || { echo 'Spin is missing. Debian, Ubuntu: apt-get install spin. Others: https://spinroot.com'; exit 1; }
	model/run.sh $(MODEL)

bench: ## measure the bus against plain channels and other buses; writes bench/RESULTS.md
	@cd bench && GOWORK=off go run .

lint: ## check formatting, vet, staticcheck and go.mod; changes nothing
	@test -z "$$(gofmt -l .)" || { echo 'gofmt would change:'; gofmt -l .; exit 1; }
	$(call each,go vet ./...)
	$(call each,go mod tidy -diff)
	$(call each,go run $(STATICCHECK) ./...)

cover: ## check that the tests reach every statement of processor.go, dispatch.go, queue.go and chunk.go
	@profile=$$(mktemp) && trap 'rm -f $$profile' EXIT && \
	GOWORK=off go test -short -coverprofile $$profile . >/dev/null && \
	GOWORK=off go tool cover -func $$profile | awk ' \
		/\/(processor|dispatch|queue|chunk)\.go:/ { n++; if ($$NF != "100.0%") { print "not covered: " $$0; bad = 1 } } \
		/^total:/ { print "statements covered in the root package: " $$NF } \
		END { if (n == 0 || bad) exit 1; print "processor.go, dispatch.go, queue.go and chunk.go: 100.0%" }'

ci: lint test cover ## what CI runs: lint, test, cover and, if Spin is there, the quick part of model
	@if command -v spin >/dev/null; then $(MAKE) model MODEL=quick; else echo 'Spin is missing: the model is not checked.'; fi
