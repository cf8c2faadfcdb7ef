#!/usr/bin/env bash
# SQLite (WAL) and LMDB (shared mappings), each from four processes, on a replicated directory whose replication processes are killed: every
# committed transfer is there, once, and both copies are equal afterwards.
# shellcheck source=tests/fs/tools.sh
. "$(dirname "$(readlink -f "$0")")/tools.sh"

install_packages python3 python3-lmdb
for kind in sqlite lmdb; do
    run "$kind" --kills 20 --secondary-kills 5 /usr/bin/python3 tests/fs/databases.py $kind '{}' 12
    say "  $(grep transfers "$work/said")"
done
