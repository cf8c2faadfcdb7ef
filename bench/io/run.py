#!/usr/bin/env python3
"""What replication costs: 4k write + fdatasync, 1M sequential, creates, pgbench; native, our mount alone, both async modes and GlusterFS
replica 2, interleaved in one run. Writes results.md beside this file.

    bench/io/run.py [--rounds 5] [--seconds 5] [--no-gluster]

Needs root, the lab build (./test build) and the Debian packages fio, postgresql, and for the peer
glusterfs-server, glusterfs-client. Everything runs in the lab's own namespaces.
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lab import Lab, install, machine, median, table  # noqa: E402
from measures import MEASURES  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
# name, module, async, started on node2 too, encryption of the replication stream
OURS = [
    ("our mount alone", "alone", "none", False, "on"),
    ("async=second", "second", "second", True, "on"),
    ("async=none", "none", "none", True, "on"),
    ("async=second, plain", "plain", "second", True, "off"),
]


def gluster(lab):
    """A replica 2 volume over the replication LAN, mounted on node1 at /srv/gluster."""
    for node in ("node1", "node2"):
        lab.on(node, "mkdir", "-p", "/var/lib/glusterd", "/var/log/glusterfs", "/run/gluster", "/srv/brick", "/srv/gluster")
        lab.on(node, "bash", "-c", "glusterd --log-level WARNING; sleep 2")
    lab.on("node1", "gluster", "--mode=script", "peer", "probe", "10.90.2.2")
    lab.on("node1", "bash", "-c", "for i in $(seq 50); do gluster peer status | grep -q 'in Cluster' && exit 0; sleep 0.2; done; exit 1")
    bricks = [f"10.90.2.{n}:/srv/brick/v" for n in (1, 2)]
    lab.on("node1", "gluster", "--mode=script", "volume", "create", "v", "replica", "2", *bricks, "force")
    lab.on("node1", "gluster", "--mode=script", "volume", "start", "v")
    lab.on("node1", "mount", "-t", "glusterfs", "10.90.2.1:/v", "/srv/gluster")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--no-gluster", action="store_true")
    args = parser.parse_args()
    with Lab("bench-io", "--disk", "fast") as lab:
        subjects = [("ext4", "/srv/native")]
        lab.on("node1", "mkdir", "-p", "/srv/native")
        for name, module, mode, both, encryption in OURS:
            install(lab, module, mode, both, encryption)
            subjects.append((name, f"/srv/{module}"))
        if not args.no_gluster:
            gluster(lab)
            subjects.append(("GlusterFS replica 2", "/srv/gluster"))
        results = {}
        for round_ in range(args.rounds):
            for label, measure in MEASURES:
                for name, directory in subjects:
                    value = measure(lab, directory, args.seconds)
                    results.setdefault((name, label), []).append(value)
                    print(f"round {round_ + 1}: {name}: {label}: {value}", flush=True)
        head = ["", *(label for label, _ in MEASURES)]
        rows = []
        for name, _ in subjects:
            cells = []
            for label, _ in MEASURES:
                values = results[(name, label)]
                native = median(results[("ext4", label)])
                cells.append(f"{median(values):.0f} ({min(values)}-{max(values)}; {median(values) / native:.2f})")
            rows.append([name, *cells])
        text = f"# What replication costs\n\n{machine()}. Both replicas and the load on one machine, `--disk fast`. Median of {args.rounds} interleaved rounds (min-max; share of ext4).\n\n"
        text += "    bench/io/run.py " + " ".join(sys.argv[1:]) + "\n\n" + table(head, rows)
        open(os.path.join(HERE, "results.md"), "w").write(text)
        print(text)


main()
