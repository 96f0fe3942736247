# Two of these are the ones to know: `make demo` and `make test`.
VERSION := 0.1.0
GOFLAGS_BUILD := -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)"
export CGO_ENABLED = 0

.PHONY: build test demo lint bench fuzz clean

build:            ## bin/nixmesh (static, the same bytes from any folder) and the lab's demo services
	go build $(GOFLAGS_BUILD) -o bin/nixmesh ./cmd/nixmesh
	go build $(GOFLAGS_BUILD) -o bin/lab-services/ ./lab/services/...

test: build       ## every layer: pure, process, and the lab where it can run
	./internal/ci/test.sh

demo: build       ## boot the shop in the lab, deploy it, break it, roll it back
	./internal/ci/demo.sh

lint:             ## gofmt, vet, and the pinned linter
	./internal/ci/lint.sh

bench:            ## benchmarks that need no peer
	go test -run '^$$' -bench . -benchmem ./...

fuzz:             ## each fuzz target for a minute
	./internal/ci/fuzz.sh

clean:            ## what building left
	rm -rf bin .nixmesh .demo
