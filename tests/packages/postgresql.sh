#!/bin/bash
# Runs the scripts of the postgresql module on a plain directory: first start, crash, another node's leftovers, force.
# Needs root and PostgreSQL from Debian. Works in namespaces and a temporary directory of its own; touches nothing else.
#
# postgresql.sh [MOUNT_LOCAL]: with the example mount_local of hf-fs, also on a directory served by our own file system.
set -euo pipefail

if [ "${1:-}" != inside ]; then
    [ "$(id --user)" = 0 ] || { echo "postgresql.sh needs root." >&2; exit 1; }
    exec unshare --net --pid --fork --mount-proc "$0" inside "${1:+$(realpath "$1")}"
fi
mount_local=${2:-}
ip link set lo up
ip address add 10.99.0.1/24 dev lo

module=$(cd "$(dirname "$0")/../../packages/postgresql" && pwd)
place=$(mktemp --directory)
chmod 0755 "$place"
trap 'rm -rf "$place"' EXIT
export SAFE=$place/safe SAFEVAR=$place/var SAFEMODULE=postgresql SAFEUSERBIN=$module/bin
export SAFEUSERVAR=$SAFEVAR/modules/postgresql
export PGDATA=$place/data PGPORT=5432 CLIENT_NETWORK=10.99.0.0/24 CLIENT_AUTH=trust START_TIMEOUT=60
mkdir -p "$SAFE" "$SAFEUSERVAR" "$PGDATA"
# Stands in for the command; writes down how it was called.
printf '#!/bin/sh\necho "$@" >>%s/safekit.calls\n' "$place" >"$SAFE/safekit"
chmod +x "$SAFE/safekit"

step() { echo "-- $*"; }
die() { echo "FAILED: $*" >&2; exit 1; }
ask() { psql --host=10.99.0.1 --username=postgres --no-psqlrc --tuples-only --no-align --command="$1" postgres; }
script() { local name=$1; shift; "$SAFEUSERBIN/$name" "$@"; }
# The namespace has no other server than ours.
running() { pgrep --exact postgres || true; }
# Some may have ended meanwhile, because the first one did.
signal_all() { running | xargs --no-run-if-empty kill "-$1" 2>/dev/null || true; }
crash() { signal_all KILL; until [ -z "$(running)" ]; do sleep 0.05; done; }

step "the check of the configuration finds what it needs, and says what it lacks"
# A port that no cluster of the machine's own has.
PGPORT=5999 script confcheck STOP STOP confcheck
if PGDATA=$place/nowhere script confcheck STOP STOP confcheck >"$place/said"; then die "nothing lacks"; fi
grep -q "mkdir -p $place/nowhere" "$place/said" || die "it doesn't say what to type: $(cat "$place/said")"

step "the first start initialises"
script prestart STOP WAIT start
script start_prim WAIT ALONE start
[ "$(ask 'show data_checksums')" = on ] || die "no checksums"
[ "$(stat --format=%U:%a "$PGDATA")" = postgres:700 ] || die "the owner or mode of the data directory is wrong"
[ ! -e "$PGDATA/.holdfast-initialising" ] || die "the mark is left"
[ ! -S "$PGDATA/.s.PGSQL.5432" ] || die "the socket is in the replicated directory"
ask 'create table t as select generate_series(1,1000) as n' >/dev/null

step "an orderly stop and a start keep the data"
script stop_prim ALONE STOP stop
script stop_prim force ALONE STOP stop
[ -z "$(running)" ] || die "processes are left"
script start_prim WAIT ALONE start
[ "$(ask 'select count(*) from t')" = 1000 ] || die "rows are lost"

step "a crash leaves postmaster.pid with the number of a living process"
crash
sed -i "1s/.*/1/" "$PGDATA/postmaster.pid"
before=$(date +%s%N)
script start_prim WAIT ALONE start
echo "   recovery and start: $((($(date +%s%N) - before) / 1000000)) ms"
[ "$(ask 'select count(*) from t')" = 1000 ] || die "rows are lost"

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
    mount --bind "$PGDATA" "$PGDATA"
    script start_prim WAIT ALONE start
    umount --lazy "$PGDATA"
    script stop_prim $force ALONE STOP stop
    [ -z "$(running)" ] || die "processes are left"
done

step "an interrupted initialisation is done again"
rm -rf "${PGDATA:?}"; mkdir "$PGDATA"
mkdir "$PGDATA/base"; touch "$PGDATA/.holdfast-initialising"
script start_prim WAIT ALONE start
[ "$(ask 'select 1')" = 1 ] || die "no answer"
script stop_prim ALONE STOP stop

step "foreign files are left untouched, and the module stops"
rm -rf "${PGDATA:?}"; mkdir "$PGDATA"; touch "$PGDATA/letter"
! script start_prim WAIT ALONE start || die "it started"
[ -e "$PGDATA/letter" ] || die "the file is gone"
[ "$(cat "$place/safekit.calls")" = "stop -m postgresql -i start_prim" ] || die "the module was not told to stop"
if [ -n "$mount_local" ]; then
    step "the same on our own file system: the data directory is the mount's root"
    rm -rf "${PGDATA:?}"; mkdir "$PGDATA" "$place/backing"
    "$mount_local" keeper "$place/keeper.sock" & keeper=$!
    sleep 0.3
    "$mount_local" serve "$place/keeper.sock" "$place/backing" "$PGDATA" & server=$!
    until mountpoint --quiet "$PGDATA"; do sleep 0.05; done
    before=$(date +%s%N)
    script start_prim WAIT ALONE start
    echo "   initialisation and start: $((($(date +%s%N) - before) / 1000000)) ms"
    ask 'create table t as select generate_series(1,1000) as n' >/dev/null
    crash
    before=$(date +%s%N)
    script start_prim WAIT ALONE start
    echo "   recovery and start: $((($(date +%s%N) - before) / 1000000)) ms"
    [ "$(ask 'select count(*) from t')" = 1000 ] || die "rows are lost"
    script stop_prim ALONE STOP stop
    [ "$(stat --format=%U:%a "$place/backing")" = postgres:700 ] || die "owner and mode did not reach the backing directory"
    "$mount_local" down "$place/keeper.sock" || die "the mount is still in use"
    wait "$server" || true
    kill "$keeper" 2>/dev/null || true
fi
echo "All good."
