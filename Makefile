# The modules of the repository, which test and lint work on.
MODULES := . bench examples contrib/inspect contrib/journal contrib/nats contrib/otel contrib/prometheus contrib/watermill

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

# Tests run package by package, so that one sees where they are.
packages = @set -e; for m in $(MODULES); do cd $$m; for p in $$(GOWORK=off go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...); do \
	echo "== $$p"; GOWORK=off $(1) $$p; done; cd - >/dev/null; done

# An hour of a busy feed: 3,600 s × 20,000 events/s.
HOUR := 72000000

# What make model checks: all, or quick for what CI has time for.
MODEL := all

.PHONY: help demo live test soak crash model bench lint cover ci

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## run the example trading engine on twenty years of the S&P 500
	@cd examples && GOWORK=off go run ./tradingengine

live: ## run a paper exchange, and a live engine on it, for 20 s
	@bin=$$(mktemp -d) && cd examples && GOWORK=off go build -o $$bin ./cmd/paperexchange ./tradingengine/cmd/liveengine && \
	{ $$bin/paperexchange -speed 10 -drop 3s & exchange=$$!; trap 'kill $$exchange; rm -r $$bin' EXIT; $$bin/liveengine -for 20s -http 127.0.0.1:8791; }

test: ## run the tests of all modules with the race detector
	@$(RACE_NOTE)
	$(call packages,go test $(RACE) -timeout 10m)

soak: ## run 14,000 random schedules, and an hour of load on 1, 2 and 8 threads; 20 minutes
	@$(RACE_NOTE)
	GOWORK=off go test $(RACE) -timeout 2h ./internal/chaos -cpu 2 -run UnderChaos -seeds 10000
	GOWORK=off go test $(RACE) -timeout 2h ./internal/chaos -cpu 1,8 -run UnderChaos -seeds 2000
	GOGC=10 GOWORK=off go test -timeout 2h ./internal/soak -cpu 1,2,8 -run UnderLoad -soak $(HOUR)

crash: ## kill -9 writers of journals, stores, leaders of a cluster and the live engine, some 360 times; replay a long day; 6 minutes
	cd contrib/journal && GOWORK=off go test . -timeout 2h -run 'SurvivesKill|SameOrders|KeepsTheRecordedOrder' -kills 100 -ticks 1000000 -seeds 500
	cd contrib/nats && GOWORK=off go test . -timeout 2h -run 'Kill|Survives' -kills 50
	cd examples && GOWORK=off go test ./tradingengine/cmd/liveengine -timeout 2h -run SurvivesKill -kills 100

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

cover: ## check that the tests reach every statement of the law, admission, waits, graph, buffer, queue, loop and turn
	@profile=$$(mktemp) log=$$(mktemp) && trap 'rm -f $$profile $$log' EXIT && \
	{ GOWORK=off go test -short -coverpkg .,./internal/buffer -coverprofile $$profile . ./internal/buffer >$$log 2>&1 || { cat $$log; exit 1; }; } && \
	GOWORK=off go tool cover -func $$profile | awk ' \
		/\/(queue|queue_overflow|queue_admission|queue_waiting|queue_deadlock|processor_loop|processor_turn|processor_latency|internal\/buffer\/[a-z]+)\.go:/ { \
			n++; if ($$NF != "100.0%") { print "not covered: " $$0; bad = 1 } } \
		/^total:/ { print "statements covered: " $$NF } \
		END { if (n == 0 || bad) exit 1; print "law, admission, waits, graph, buffer, queue, loop and turn: 100.0%" }'

ci: lint test cover ## what CI runs: lint, test, cover and, if Spin is there, the quick part of model
	@if command -v spin >/dev/null; then $(MAKE) model MODEL=quick; else echo 'Spin is missing: the model is not checked.'; fi
