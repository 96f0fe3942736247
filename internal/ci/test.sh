#!/usr/bin/env bash
# Every layer of tests. The lab layer needs Linux and root; without them it is
# skipped, and this says so. What is missing from the machine is named with
# the command that installs it.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CGO_ENABLED=0
export GOFLAGS=-trimpath # as `make build`, whose packages the tests have then

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
need openssl openssl
need systemd-analyze systemd
need age age

started=$SECONDS
echo "== gofmt, vet"
unformatted=$(gofmt -l $(git ls-files '*.go'))
[ -z "$unformatted" ] || { echo "not formatted: $unformatted" >&2; exit 1; }
go vet ./...

if reason=$(./bin/nixmesh lab check 2>&1); then
	echo "== lab: this machine can run it"
	need nft nftables
	need ip iproute2
	need node nodejs # programs that compile at run time, for the sandbox's test
	need java default-jdk-headless
	./bin/nixmesh lab prepare
	export NIXMESH_TEST_LAB=require
else
	echo "== SKIPPED: the lab layer. $reason"
	export NIXMESH_TEST_LAB=skip
fi

echo "== tests"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Right below the line of a test that failed stand its parts that failed and the end
# of what it said; below a panic, the panic.
tell='
function rest() {
	for (i = lines[failed] > 100 ? lines[failed] - 99 : 1; failed != "" && i <= lines[failed]; i++) print said[failed, i]
	lines[failed] = 0
	failed = ""
}
/^=== (RUN|PAUSE|CONT|NAME) / {rest(); split($3, part, "/"); of = part[1]; full = $3; next}
/^ +--- / {if (failed != "" && $2 == "FAIL:") print; next}
/^(ok|FAIL|panic:|fatal error:|--- )/ {rest(); print; fflush()}
/^(panic:|fatal error:)/ {of = ""; loud = 200; next}
/^(ok|FAIL|PASS|---)/ {if ($2 == "FAIL:") failed = $3; else lines[$3] = 0; of = ""; loud = 0; next}
loud > 0 {loud--; print; fflush(); next}
of != "" {said[of, ++lines[of]] = "    " full ": " $0}
END {rest()}
'
# Lab tests mostly wait: more of them at once than there are cores.
set +e
go test -ldflags='-s -w' -count=1 -timeout 28m -parallel 4 -v ./... 2>&1 | tee "$log" | awk "$tell"
status=${PIPESTATUS[0]}
set -e
[ "$status" = 0 ] || exit "$status"
if grep -qE '^ *--- SKIP' "$log"; then
	echo "== skipped, and why"
	# The reason stands where the test said it, which for a part of a test is far
	# before the line that says it was skipped.
	awk '/^=== (RUN|PAUSE|CONT|NAME) / {of = $3; next}
		/^ *--- SKIP/ {print; print (said[$3] != "" ? said[$3] : "        and it does not say why"); next}
		/^ *--- / {of = $3; next}
		/^ *[^ ]+\.go:[0-9]+: / {said[of] = $0}' "$log"
	if [ "$NIXMESH_TEST_LAB" = require ]; then
		echo "a test was skipped though its parts run here" >&2
		exit 1
	fi
fi
echo "all layers passed in $((SECONDS - started)) s (lab: $NIXMESH_TEST_LAB)"
