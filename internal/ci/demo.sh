#!/usr/bin/env bash
# The whole product in one sitting: five lab hosts, a deploy, a deploy that
# fails its check and reverts by itself, a rollback. The lab stays up at the
# end, to be played with.
set -euo pipefail
cd "$(dirname "$0")/../.."
repo=$PWD
nixmesh=$repo/bin/nixmesh

if ! reason=$("$nixmesh" lab check 2>&1); then
	echo "The lab cannot run here: $reason" >&2
	exit 1
fi

# The demo edits its fleet, so it has a copy of hosts/shop.
fleet=$repo/.demo/shop
mkdir -p "$fleet"
if [ "$(git -C "$repo" status --porcelain hosts/shop 2>/dev/null)" ]; then echo "(hosts/shop has local changes; the demo uses them)"; fi
cp -r hosts/shop/. "$fleet/"
[ -d "$fleet/.git" ] || git init -q "$fleet" # a fleet of its own: what git ignores does not enter the store
cd "$fleet"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '$ nixmesh %s\n' "$*"; }
run() { show "$@"; "$nixmesh" "$@"; }
fails() { # fails CODE ARGS...: the command has to end with CODE
	local want=$1 got=0
	shift
	show "$@"
	"$nixmesh" "$@" || got=$?
	echo "(exit $got)"
	[ "$got" = "$want" ] || { echo "want exit $want" >&2; exit 1; }
}

# A minute and a half is a good deadline for a rack, and a long one to watch.
sed -i 's|confirm  = "90s"|confirm  = "8s"|' nixmesh.hcl

started=$SECONDS
say "1. Five hosts on this machine"
run lab up

say "2. Deploy the shop: first contact, proof, commit"
run --lab validate
run --lab deploy -y
run --lab status

say "3. A change that goes well"
sed -i 's|env     = { API_URL = "http://api.mesh" }|env     = { API_URL = "http://api.mesh", COLOUR = "green" }|' nixmesh.hcl
grep -q COLOUR nixmesh.hcl
run --lab deploy -y --message "web is green"

say "4. A change whose api is sick: the host finds out and goes back by itself"
sed -i 's|^  exec    = "bin/api |  env     = { FAIL_HEALTH = "1" }\n&|' nixmesh.hcl
grep -q FAIL_HEALTH nixmesh.hcl
fails 4 --lab deploy -y --message "api v-next"
run --lab status

say "5. Roll the fleet back to its first release: nothing is built"
run --lab rollback --to 1 -y
run --lab release list
run --lab status

cat <<EOF

Done in $((SECONDS - started)) s. The lab is still up; the fleet is .demo/shop. Try:
  cd .demo/shop && export PATH=\$PATH:$repo/bin
  nixmesh lab ssh app1 -- systemctl status web
  nixmesh lab break app2 --power; nixmesh --lab status
  \$EDITOR nixmesh.hcl; nixmesh --lab plan
  nixmesh --lab deploy
  nixmesh lab down              leaves nothing of the lab on this machine
EOF
