#!/usr/bin/env bash
# What a farm's filter costs a server: bench/farm/run.sh > bench/farm/results.md. Needs root; one minute.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build -q --profile lab -p hf-net --example farm_flood
printf '# What the filter of a farm costs a server\n\n'
printf '`bench/farm/run.sh`, %s, Linux %s, %s processors, at "%s".\n\n' \
    "$(date -u +%F)" "$(uname -r)" "$(nproc)" "$(git log -1 --format=%s)"
exec taskset -c 0 target/lab/examples/farm_flood
