#!/usr/bin/env python3
"""What the daemon, a module's heart and its rfs hold in memory on both nodes: with an empty replicated directory, and with 200,000 files that
were made through the mount, synchronised, listed, and read. Writes results.md beside this file.

    bench/memory/run.py [--files 200000]

Needs root and the lab build (./test build). The figures are the proportional set size (PSS) of each process, in MB.
"""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lab import Lab, install, machine, table  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
MODULE = "many"
PROCESSES = ("daemon", "heart", "rfs", "keeper")

# In a node: each process of ours by its verb, with its PSS in kB.
PSS = r"""
for pid in /proc/[0-9]*; do
    [ "$(basename "$(readlink "$pid/exe")")" = holdfast ] || continue
    verb=$(tr '\0' '\n' <"$pid/cmdline" | sed -n 2p)
    pss=$(sed -n 's/^Pss: *\([0-9]*\) kB/\1/p' "$pid/smaps_rollup")
    echo "$verb $pss"
done
"""

MAKE = r"""
import os, sys
top, count = sys.argv[1], int(sys.argv[2])
for n in range(count):
    if n % 1000 == 0:
        os.mkdir(f"{top}/{n // 1000:04}")
    with open(f"{top}/{n // 1000:04}/file-{n % 1000:04}", "wb") as file:
        file.write(b"%d" % n)
"""


def pss(lab, node):
    held = dict.fromkeys(PROCESSES, 0.0)
    for line in lab.on(node, "bash", "-c", PSS).splitlines():
        verb, kilobytes = line.split()
        if verb in held:
            held[verb] += int(kilobytes) / 1024
    return held


def row(lab, what):
    cells = [f"{pss(lab, node)[name]:.1f}" for node in ("node1", "node2") for name in PROCESSES]
    print(what, *cells, flush=True)
    return [what, *cells]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200_000)
    args = parser.parse_args()
    rows = []
    with Lab("bench-mem") as lab:
        install(lab, MODULE, "second", True)
        rows.append(row(lab, "empty"))
        began = time.monotonic()
        lab.on("node1", sys.executable, "-c", MAKE, f"/srv/{MODULE}", str(args.files), timeout=1800)
        made = time.monotonic() - began
        rows.append(row(lab, f"{args.files} files made"))
        lab.on("node1", "sh", "-c", f"find /srv/{MODULE} -type f -size -2 | wc -l; cat /srv/{MODULE}/*/* | wc -c", timeout=1800)
        rows.append(row(lab, "listed and read"))
        lab.on("node2", "holdfast", "stop", "-m", MODULE)
        lab.wait("node2", MODULE, "STOP")
        began = time.monotonic()
        lab.on("node2", "holdfast", "second", "-m", MODULE)
        lab.wait("node1", MODULE, "PRIM", seconds=600)
        lab.wait("node2", MODULE, "SECOND", seconds=600)
        synchronised = time.monotonic() - began
        rows.append(row(lab, "synchronised anew"))
    head = ["PSS in MB", *(f"{node}: {name}" for node in ("primary", "secondary") for name in PROCESSES)]
    text = f"# Memory\n\n{machine()}.\n\n    bench/memory/run.py {' '.join(sys.argv[1:])}\n\n" + table(head, rows)
    text += f"\nThe files were made in {made:.0f} s through the mount; the second node compared all of them in {synchronised:.1f} s when it came back.\n"
    open(os.path.join(HERE, "results.md"), "w").write(text)
    print(text)


main()
