#!/usr/bin/env bash
# The whole product in one sitting: five lab hosts, a deploy, the mesh that their
# agents and Envoys make, calls through it, a change of it without a build, a
# deploy that fails its check and reverts by itself, a rollback. The lab stays up
# at the end, to be played with.
set -euo pipefail
cd "$(dirname "$0")/../.."
repo=$PWD
nixmesh=$repo/bin/nixmesh

if ! reason=$("$nixmesh" lab check 2>&1); then
	echo "The lab cannot run here: $reason" >&2
	exit 1
fi

if ! command -v curl >/dev/null; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		{ apt-get install -y -qq curl || { apt-get update -qq && apt-get install -y -qq curl; }; } >/dev/null
	else
		echo "missing: curl. Install it: apt-get install curl (Debian), nix-shell -p curl (NixOS)" >&2
		exit 1
	fi
fi

# The demo edits its fleet, so it has a copy of hosts/shop.
fleet=$repo/.demo/shop
mkdir -p "$fleet"
if [ "$(git -C "$repo" status --porcelain hosts/shop 2>/dev/null)" ]; then echo "(hosts/shop has local changes; the demo uses them)"; fi
cp -r hosts/shop/. "$fleet/"
[ -d "$fleet/.git" ] || git init -q "$fleet" # a fleet of its own: what git ignores does not enter the store
cd "$fleet"
out=$repo/.demo/out # what was said, to be looked at
rm -rf "$out" && mkdir -p "$out"
trap 'touch "$out/stop"' EXIT # of whoever still asks

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { # as it would be typed
	printf '$ nixmesh'
	for word; do
		case $word in *' '*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac
	done
	printf '\n'
}
run() { show "$@"; "$nixmesh" "$@"; }
look() { # a status ends with 1 while a service that was just restarted has to prove itself
	show "$@"
	"$nixmesh" "$@" || echo "(exit $?)"
}
published() { # published ARGS...: ends with 1 where an agent acts on it later than the command waits for it
	local got=0
	show "$@"
	"$nixmesh" "$@" || got=$?
	[ "$got" = 0 ] || echo "(exit $got)"
	[ "$got" -le 1 ] || exit "$got"
	soon agreed
}
agreed() { "$nixmesh" --lab mesh status 2>&1 | grep -q 'on 5 of 5 hosts'; }
fails() { # fails CODE ARGS...: the command has to end with CODE
	local want=$1 got=0
	shift
	show "$@"
	"$nixmesh" "$@" || got=$?
	echo "(exit $got)"
	[ "$got" = "$want" ] || die "want exit $want"
}
browse() { # browse PATH: the shop as its customers see it, from this machine
	printf '$ curl --cacert .nixmesh/lab/ca.pem --resolve shop.example:443:10.0.0.11 https://shop.example%s\n' "$1"
	ask "$1"
}
ask() { curl -sS --max-time 60 --fail-with-body --cacert .nixmesh/lab/ca.pem --resolve shop.example:443:10.0.0.11 "https://shop.example$1"; }
die() { echo "demo: $*" >&2; exit 1; }
soon() { # soon COMMAND...: it has to come true within two minutes
	local last=$((SECONDS + 120))
	until "$@"; do
		[ $SECONDS -lt $last ] || die "waited in vain: $*"
		sleep 0.1
	done
}
counted() { sed -n "s/^  $1: \([0-9]*\) visits\$/\1/p" "$2"; } # counted STORE FILE: of a page
lines() { [ "$(wc -l <"$2")" -ge "$1" ]; }                     # lines HOW MANY FILE: as many, or more
refused() { # refused HOST USER URL: that user's call there has to be refused
	local got=0
	printf '$ nixmesh lab ssh %s -- setpriv --reuid %s --clear-groups curl -sS %s\n' "$1" "$2" "$3"
	"$nixmesh" lab ssh "$1" -- setpriv --reuid "$2" --clear-groups curl -sS --max-time 10 "$3" || got=$?
	[ "$got" = 7 ] || die "want it refused (curl's exit 7), got $got"
}
asked_at() { # asked_at ENVOY: asks for api through it until it is told to stop: when, and who answers
	if [ "$1" = edge1 ]; then
		until [ -e "$out/stop" ]; do echo "$(date +%s%3N) $(ask /api/echo/ 2>&1 | head -1)"; done
	else
		"$nixmesh" lab ssh "$1" -- 'rm -f /run/asked-enough; for i in $(seq 5000); do [ ! -e /run/asked-enough ] || break
			echo $(date +%s%3N) $(setpriv --reuid nm-web --clear-groups curl -sS --max-time 5 http://api.mesh/echo/ 2>&1 | head -1); done'
	fi
}
colour() { "$nixmesh" lab ssh "$1" -- systemctl show -p Environment web; }
follows() { tail -5 "$out/$1" | grep -c " api@$2 on " | grep -qx 5; } # follows ENVOY VERSION: by its last answers
split() { # split V1 V2: sets the shares, one of them 100, and says when every Envoy that calls api acted on it
	local was=v1 is=v2 envoy at took pids=()
	[ "$1" = 0 ] || { was=v2 is=v1; }
	sed -i "s|split = { v1 = [0-9]*, v2 = [0-9]* }|split = { v1 = $1, v2 = $2 }|" nixmesh.hcl
	rm -f "$out/stop"
	for envoy in app1 app2 edge1; do
		asked_at $envoy >"$out/$envoy" &
		pids+=($!)
	done
	for envoy in app1 app2 edge1; do soon lines 5 "$out/$envoy"; done
	published --lab mesh apply -y
	for envoy in app1 app2 edge1; do soon follows $envoy $is; done
	touch "$out/stop"
	for envoy in app1 app2; do "$nixmesh" lab ssh $envoy -- touch /run/asked-enough; done
	wait "${pids[@]}"
	at=$("$nixmesh" --lab mesh status -o json | awk -F'"' '/"since":/ && !found++ {print $4}')
	at=$(date -d "$at" +%s%3N)
	for envoy in app1 app2 edge1; do
		! grep -vE '^[0-9]+ api@v[12] on app[12]$' "$out/$envoy" || die "a question through the Envoy of $envoy was not answered"
		# A question may be asked before the first agent acts, and be answered after it.
		took=$(awk -v was="api@$was" -v at="$at" '$2 == was {since = 0} $2 != was && !since {since = $1} END {took = since - at; print (took > 0 ? took : 0)}' "$out/$envoy")
		echo "Envoy of $envoy: $is alone answers $took ms after the first agent acted on it ($(wc -l <"$out/$envoy") answers, none lost)"
		[ $took -lt 1000 ] || echo "  (that is more than a second: was this machine busy?)"
	done
}

# Five hosts share this machine. Where it stalls, a customer waits; that no answer is
# lost is what is held here, not how soon each comes.
sed -i 's|timeout = "2s"|timeout = "30s"|; s|upstream "\(postgres\|redis\)" {}|upstream "\1" { connect_timeout = "30s" }|' nixmesh.hcl

started=$SECONDS
say "1. Five hosts on this machine"
run lab up

say "2. Deploy the shop: first contact, proof, commit"
run --lab validate
run show route api
published --lab deploy -y
look --lab status

say "3. The agents of all hosts agree: who is alive, what runs where, one signed configuration"
look --lab mesh status
until "$nixmesh" --lab mesh certs >/dev/null || [ $((SECONDS - started)) -gt 240 ]; do
	sleep 0.5 # agents that asked before the deploy signed the authorities ask again in seconds
done
run --lab mesh certs

say "4. The shop answers: gateway -> web -> api -> PostgreSQL and Redis, each hop by name with the caller's own certificate"
until ask /api >/dev/null 2>&1 || [ $((SECONDS - started)) -gt 240 ]; do sleep 0.2; done
browse /api | tee "$out/page1"
ask /api >"$out/page2"
for store in postgres redis; do
	[ "$(counted $store "$out/page1")" ] || die "$store counted nothing: $(cat "$out/page1")"
	[ "$(counted $store "$out/page2")" -gt "$(counted $store "$out/page1")" ] || die "$store did not count the second page: $(cat "$out/page2")"
done
echo "What is not declared is refused by the kernel, at once; root is nobody in the mesh:"
refused app1 nm-web http://postgres.mesh:5432/
refused app1 root http://api.mesh/

say "5. Kill api on one host: the answers go on"
answers=$out/answers
(until [ -e "$out/stop" ]; do ask /api >"$out/page" || echo "no answer: $(cat "$out/page")"; grep '^api@' "$out/page" || true; done) >"$answers" 2>&1 &
asking=$!
soon lines 10 "$answers"
run lab ssh app1 -- "systemctl kill -s KILL api@v1.service; systemctl stop api@v1.service"
before=$(wc -l <"$answers")
soon lines $((before + 30)) "$answers"
touch "$out/stop"
wait $asking
sed 's/ GET .*//' "$answers" | sort | uniq -c
! grep -v '^api@v[12] on app[12] GET /$' "$answers" || die "a customer got no answer"
! tail -n +$((before + 2)) "$answers" | grep '^api@v1 on app1 ' || die "api on app1 was not killed"
"$nixmesh" lab ssh app1 -- "systemctl start api@v1.service"

say "6. A change of the mesh alone: no build, no switch, on every Envoy in a moment"
split 0 100
split 100 0

say "7. A change of a host that goes well"
sed -i 's|env     = { API_URL = "http://api.mesh" }|env     = { API_URL = "http://api.mesh", COLOUR = "green" }|' nixmesh.hcl
grep -q COLOUR nixmesh.hcl
published --lab deploy -y --message "web is green"
colour app1 | grep -q green || die "web is not green"

say "8. Version 2 of api falls sick: its host finds out and goes back by itself; version 1 never stops"
sed -i 's|^    package = "shop-api-v2"$|&\n    env     = { FAIL_HEALTH = "1" }|' nixmesh.hcl
grep -q FAIL_HEALTH nixmesh.hcl
# A minute and a half is a good deadline for a rack, and a long one to watch.
fails 4 --lab deploy -y --confirm 8s --message "api v2.1"
look --lab status

say "9. Roll the fleet back to its first release: nothing is built"
published --lab rollback --to 1 -y
! colour app1 | grep -q green || die "web is still green"
run --lab release list
look --lab status
look --lab mesh status
browse /api

cat <<EOF

Done in $((SECONDS - started)) s. The lab is still up; the fleet is .demo/shop. Try:
  cd .demo/shop && export PATH=\$PATH:$repo/bin
  curl --cacert .nixmesh/lab/ca.pem --resolve shop.example:443:10.0.0.11 https://shop.example/api
  nixmesh lab ssh app1 -- systemctl status web
  nixmesh lab break app2 --power; nixmesh --lab status
  \$EDITOR nixmesh.hcl; nixmesh --lab plan
  nixmesh --lab deploy
  nixmesh lab down              leaves nothing of the lab on this machine
EOF
