# shellcheck shell=bash
# Shared by the scripts beside it: other people's programs, and a replicated directory to run them on. Sourced, never run.

set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
. scripts/machine.sh

TOOLS=$PWD/target/tools
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# crate NAME VERSION: the published program NAME, built once, kept in target/tools.
crate() {
    [ "$("$TOOLS/bin/$1" --version 2>/dev/null | awk '{print $2}')" = "$2" ] && return
    say "  installing: $1 $2"
    CARGO_TARGET_DIR=$TOOLS/build cargo install -q --locked --root "$TOOLS" --version "=$2" "$1" ||
        fail "$1 $2 could not be built; cargo's messages stand above."
}

# on_pair ARGUMENT...: see crates/hf-fs/examples/on_pair.rs. The mounts are seen by nobody else, and end with it.
on_pair() {
    cargo build --locked -q -p hf-fs --examples || fail "the build failed; its messages stand above."
    unshare --mount --propagation private target/debug/examples/on_pair "$@"
}

# run WHAT ARGUMENT...: on_pair; what was said is shown if it fails.
run() {
    local what=$1
    shift
    if ! on_pair "$@" >"$work/said" 2>&1; then
        cat "$work/said"
        fail "$what failed on a replicated directory; what it said stands above."
    fi
}
