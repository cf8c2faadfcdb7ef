#!/usr/bin/env bash
# fsx (random operations on one file, each read checked) on a replicated directory: alone, and while the primary's and the secondary's processes are
# killed, and over swaps. It must see no error, and both copies must be equal afterwards. FSX_SEED repeats a run.
# 'fsx.sh build' only builds it, for the scenarios in the lab.
# shellcheck source=tests/fs/tools.sh
. "$(dirname "$(readlink -f "$0")")/tools.sh"

crate fsx 0.3.2
[ "${1:-}" != build ] || exit 0
seed=${FSX_SEED:-$RANDOM}

fsx() {
    local operations=$1
    shift
    say "  $operations operations, seed $seed${*:+, $*}"
    run "fsx (FSX_SEED=$seed)" "$@" "$TOOLS/bin/fsx" -q -f tests/fs/fsx.toml -N "$operations" -S "$seed" -P "$work" '{}/fsx'
}

fsx 3000
fsx 6000 --kills 50
fsx 4000 --kills 10 --secondary-kills 10
fsx 2000 --swaps 3
fsx 3000 --swaps 2 --kills 10 --secondary-kills 5
