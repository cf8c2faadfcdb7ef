#!/bin/bash
# Runs the scripts of the modules mariadb and redis on a plain directory: first start, crash, force, a mount that was torn away, somebody
# else's files. Needs root and both servers from Debian. Works in namespaces and a temporary directory of its own; touches nothing else.
set -euo pipefail

if [ "${1:-}" != inside ]; then
    [ "$(id --user)" = 0 ] || { echo "databases.sh needs root." >&2; exit 1; }
    for kind in mariadb redis; do
        unshare --net --mount --pid --fork --mount-proc "$0" inside "$kind"
    done
    exit
fi
kind=$2
ip link set lo up

module=$(cd "$(dirname "$0")/../../packages/$kind" && pwd)
place=$(mktemp --directory)
chmod 0755 "$place"
trap 'rm -rf "$place"' EXIT
export SAFE=$place/safe SAFEVAR=$place/var SAFEMODULE=$kind SAFEUSERBIN=$module/bin
export SAFEUSERVAR=$SAFEVAR/modules/$kind
export DATADIR=$place/data PORT=4000 START_TIMEOUT=60
mkdir -p "$SAFE" "$SAFEUSERVAR" "$DATADIR"
# Stands in for the command; writes down how it was called.
printf '#!/bin/sh\necho "$@" >>%s/safekit.calls\n' "$place" >"$SAFE/safekit"
chmod +x "$SAFE/safekit"

step() { echo "-- $kind: $*"; }
die() { echo "FAILED: $*" >&2; exit 1; }
script() { local name=$1; shift; "$SAFEUSERBIN/$name" "$@"; }
# The namespace has no other server than ours.
case "$kind" in
mariadb)
    user=mysql program=mariadbd
    ask() { mariadb --no-defaults --socket="$SAFEUSERVAR/mariadb/mariadb.sock" --user=root --batch --skip-column-names --execute="$1"; }
    from_network() { mariadb --no-defaults --host=127.0.0.1 --port="$PORT" --user="$1" --execute='SELECT 1' 2>&1; }
    write_some() { ask 'CREATE DATABASE d; USE d; CREATE TABLE t AS SELECT seq AS n FROM seq_1_to_1000'; }
    count() { ask 'SELECT count(*) FROM d.t'; }
    ;;
redis)
    user=redis program=redis-server
    ask() { REDISCLI_AUTH=$(cat "$DATADIR/password") redis-cli -p "$PORT" "$@"; }
    write_some() { for n in $(seq 1000); do echo "RPUSH t $n"; done | ask >/dev/null; }
    count() { ask LLEN t; }
    ;;
esac
running() { pgrep --runstates R,S,D,T,I --exact "$program" || true; }
signal_all() { running | xargs --no-run-if-empty kill "-$1" 2>/dev/null || true; }
crash() {
    signal_all KILL
    for _ in $(seq 600); do [ -z "$(running)" ] && return; sleep 0.1; done
    die "a killed server is still there"
}

step "the check of the configuration finds what it needs, and says what it lacks"
script confcheck STOP STOP confcheck
if DATADIR=$place/nowhere script confcheck STOP STOP confcheck >"$place/said"; then die "nothing lacks"; fi
grep -q "mkdir -p $place/nowhere" "$place/said" || die "it doesn't say what to type: $(cat "$place/said")"

step "the first start initialises"
script prestart STOP WAIT start
script start_prim WAIT ALONE start
[ "$(stat --format=%U:%a "$DATADIR")" = "$user:700" ] || die "the owner or mode of the data directory is wrong"
[ ! -e "$DATADIR/.holdfast-initialising" ] || die "the mark is left"
[ -z "$(find "$DATADIR" -type s)" ] || die "a socket is in the replicated directory"
write_some

step "nobody comes in without having been let in"
if [ "$kind" = mariadb ]; then
    for name in root '' somebody; do
        said=$(from_network "$name") && die "'$name' came in from the network"
        [[ $said == *denied* || $said == *"not allowed"* ]] || die "$said"
    done
    [ "$(ask "SELECT count(*) FROM mysql.global_priv WHERE user = ''")" = 0 ] || die "there is a user without a name"
else
    [[ $(redis-cli -p "$PORT" LLEN t) == NOAUTH* ]] || die "an answer without a password"
    [ "$(stat --format=%U:%a "$DATADIR/password")" = redis:600 ] || die "others may read the password"
fi

step "a second start while it runs: one server, and the data"
script start_prim WAIT ALONE start
[ "$(running | wc -l)" = 1 ] || die "not one server: $(running)"
[ "$(count)" = 1000 ] || die "rows are lost"

step "an orderly stop and a start keep the data"
script stop_prim ALONE STOP stop
script stop_prim force ALONE STOP stop
[ -z "$(running)" ] || die "processes are left"
script start_prim WAIT ALONE start
[ "$(count)" = 1000 ] || die "rows are lost"

step "a crash keeps the data"
crash
before=$(date +%s%N)
script start_prim WAIT ALONE start
echo "   recovery and start: $((($(date +%s%N) - before) / 1000000)) ms"
[ "$(count)" = 1000 ] || die "rows are lost"

step "a leftover server is stopped before the module starts"
script prestart STOP WAIT start
[ -z "$(running)" ] || die "the leftover server runs"

step "force ends a server that doesn't react"
script start_prim WAIT ALONE start
signal_all STOP
script stop_prim force ALONE STOP stop
[ -z "$(running)" ] || die "processes are left"

step "both stops work when the data directory is a mount that was torn away"
for force in "" force; do
    mount --bind "$DATADIR" "$DATADIR"
    script start_prim WAIT ALONE start
    umount --lazy "$DATADIR"
    script stop_prim $force ALONE STOP stop
    [ -z "$(running)" ] || die "processes are left"
done
[ ! -e "$place/safekit.calls" ] || die "the module was told to stop: $(cat "$place/safekit.calls")"

step "another server has the port: the module stops, with the reason"
(cd / && exec redis-server --port "$PORT" --bind 0.0.0.0 --save "" --protected-mode no) >"$place/holder" 2>&1 &
holder=$!
for _ in $(seq 600); do redis-cli -p "$PORT" PING >/dev/null 2>&1 && break; sleep 0.1; done
! script start_prim WAIT ALONE start >"$place/said" || die "it started"
grep -qi 'address already in use\|bind' "$place/said" || die "no reason: $(cat "$place/said")"
grep -q "ended while it was starting" "$place/said" || die "no sentence: $(cat "$place/said")"
kill "$holder"
[ "$(cat "$place/safekit.calls")" = "stop -m $kind -i start_prim" ] || die "the module was not told to stop"
rm "$place/safekit.calls"

rm -rf "${DATADIR:?}"; mkdir "$DATADIR"
if [ "$kind" = mariadb ]; then
    step "an interrupted initialisation is done again"
    mkdir "$DATADIR/mysql"; touch "$DATADIR/.holdfast-initialising"
    script start_prim WAIT ALONE start
    [ "$(ask 'select 1')" = 1 ] || die "no answer"
    script stop_prim ALONE STOP stop
    rm -rf "${DATADIR:?}"; mkdir "$DATADIR"
    foreign=$DATADIR/letter
else
    foreign=$DATADIR/dump.rdb
fi
step "files that it would not read are left untouched, and the module stops"
touch "$foreign"
! script start_prim WAIT ALONE start || die "it started"
[ -e "$foreign" ] || die "the file is gone"
[ "$(cat "$place/safekit.calls")" = "stop -m $kind -i start_prim" ] || die "the module was not told to stop"
echo "All good: $kind."
