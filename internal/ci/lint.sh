#!/usr/bin/env bash
# The linter at the version pinned in tools/go.mod, built once into bin/.
set -euo pipefail
cd "$(dirname "$0")/../.."
unformatted=$(gofmt -l $(git ls-files '*.go'))
[ -z "$unformatted" ] || { echo "not formatted: $unformatted" >&2; exit 1; }
go vet ./...
pinned=$(sed -n 's|.*github.com/golangci/golangci-lint/v2 \(v[0-9.]*\).*|\1|p' tools/go.mod | head -1)
if [ "$(cat bin/golangci-lint.version 2>/dev/null)" != "$pinned" ]; then
	mkdir -p bin
	(cd tools && go build -o ../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint)
	echo "$pinned" >bin/golangci-lint.version
fi
bin/golangci-lint run ./...
