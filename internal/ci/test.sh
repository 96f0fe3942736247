#!/usr/bin/env bash
# Every layer of tests. The lab layer needs Linux and root; without them it is
# skipped, and this says so. What is missing from the machine is named with
# the command that installs it.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CGO_ENABLED=0

need() { # need PROGRAM PACKAGE
	command -v "$1" >/dev/null && return 0
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		echo "installing $2 (for $1)"
		{ apt-get install -y -qq "$2" || { apt-get update -qq && apt-get install -y -qq "$2"; }; } >/dev/null
	else
		echo "missing: $1. Install it: apt-get install $2 (Debian), nix-shell -p $2 (NixOS)" >&2
		exit 1
	fi
}
need git git
need ssh-keygen openssh-client

started=$SECONDS
echo "== gofmt, vet"
unformatted=$(gofmt -l $(git ls-files '*.go'))
[ -z "$unformatted" ] || { echo "not formatted: $unformatted" >&2; exit 1; }
go vet ./...

if reason=$(./bin/nixmesh lab check 2>&1); then
	echo "== lab: this machine can run it"
	./bin/nixmesh lab prepare
	export NIXMESH_TEST_LAB=require
else
	echo "== SKIPPED: the lab layer. $reason"
	export NIXMESH_TEST_LAB=skip
fi

echo "== tests"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Lab tests mostly wait: more of them at once than there are cores.
set +e
go test -count=1 -timeout 20m -parallel 5 -v ./... 2>&1 | tee "$log" | grep --line-buffered -E '^(ok|FAIL|panic:|--- )'
status=${PIPESTATUS[0]}
set -e
if [ "$status" != 0 ]; then
	echo "== what failed"
	awk '/^=== (RUN|PAUSE|CONT)/ {next} /^ok / || /no test files/ {next} /^ *--- PASS/ {next} {print}' "$log" | tail -400
	exit "$status"
fi
if grep -qE '^ *--- SKIP' "$log"; then
	echo "== skipped, and why"
	grep -E -A1 '^ *--- SKIP' "$log"
	if [ "$NIXMESH_TEST_LAB" = require ]; then
		echo "a test was skipped though its parts run here" >&2
		exit 1
	fi
fi
echo "all layers passed in $((SECONDS - started)) s (lab: $NIXMESH_TEST_LAB)"
