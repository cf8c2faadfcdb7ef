#!/usr/bin/env python3
"""Is this build slower than an earlier one? Creates, 4k writes and pgbench on a replicated directory (async=second), each build in a lab of its
own, in turns. Writes before.md beside this file.

    bench/io/before.py --before PROGRAM --what WORDS [--rounds 9] [--seconds 5]

PROGRAM is the other build's `holdfast` (`git worktree add ../before COMMIT`, there `cargo build --profile lab -p holdfast`); WORDS say for the
table what it is. Needs root, the lab build (./test build) and the Debian packages fio and postgresql. Everything runs in the lab's own namespaces.
"""

import argparse
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from lab import Lab, install, machine, median, table  # noqa: E402
from measures import MEASURES  # noqa: E402

MODULE = "second"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True)
    parser.add_argument("--what", required=True)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=5)
    args = parser.parse_args()
    results = {}
    with Lab("bench-old", "--disk", "fast", holdfast=args.before) as old, Lab("bench-new", "--disk", "fast") as new:
        install(old, MODULE, "second", True, None)
        install(new, MODULE, "second", True)
        install(new, "plain", "second", True, "off")
        subjects = [(args.what, old, MODULE), ("this build", new, MODULE), ("this build, plain stream", new, "plain")]
        for round_ in range(args.rounds):
            for label, measure in MEASURES:
                # Who comes first alternates: what the first leaves in the caches is not the second's.
                for name, lab, module in subjects[:: -1 if round_ % 2 else 1]:
                    value = measure(lab, f"/srv/{module}", args.seconds)
                    results.setdefault((name, label), []).append(value)
                    print(f"round {round_ + 1}: {name}: {label}: {value}", flush=True)
    rows = []
    for name, _, _ in subjects:
        cells = []
        for label, _ in MEASURES:
            values, before = results[(name, label)], median(results[(args.what, label)])
            cells.append(f"{median(values):.0f} ({min(values)}-{max(values)}; {median(values) / before:.2f})")
        rows.append([name, *cells])
    text = f"# This build beside an earlier one\n\n{machine()}. Both replicas and the load on one machine, `--disk fast`, async=second. "
    text += f"Median of {args.rounds} rounds in turns (min-max; share of the earlier build).\n\n"
    text += f"    bench/io/before.py --before PROGRAM --what '{args.what}' --rounds {args.rounds} --seconds {args.seconds}\n\n"
    text += table(["", *(label for label, _ in MEASURES)], rows)
    open(os.path.join(HERE, "before.md"), "w").write(text)
    print(text)


main()
