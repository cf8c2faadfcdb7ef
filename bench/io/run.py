#!/usr/bin/env python3
"""What replication costs: 4k write + fdatasync, 1M sequential, creates, pgbench; native, our mount alone, both async modes and GlusterFS
replica 2, interleaved in one run. Writes results.md beside this file.

    bench/io/run.py [--rounds 5] [--seconds 5] [--no-gluster]

Needs root, the lab build (./test build) and the Debian packages fio, postgresql, and for the peer
glusterfs-server, glusterfs-client. Everything runs in the lab's own namespaces.
"""

import argparse
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lab import Lab, install, machine, median, sh, table  # noqa: E402

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


def fio(lab, directory, seconds, *args):
    out = lab.on(
        "node1", "fio", "--name=b", f"--directory={directory}", "--output-format=json", "--group_reporting",
        "--ioengine=psync", "--overwrite=1", *args, timeout=seconds * 20 + 120,
    )
    return json.loads(out[out.index("{"):])["jobs"][0]["write"]


def sync_writes(jobs):
    def measure(lab, directory, seconds):
        return round(fio(lab, directory, seconds, "--rw=randwrite", "--bs=4k", "--size=32m", "--fdatasync=1",
                         f"--numjobs={jobs}", f"--runtime={seconds}", "--time_based")["iops"])
    return measure


def sequential(lab, directory, seconds):
    return round(fio(lab, directory, seconds, "--rw=write", "--bs=1m", "--size=256m", "--end_fsync=1", "--unlink=1",
                     "--loops=3")["bw_bytes"] / 1e6)


def creates(lab, directory, _):
    script = f"""
import os, time
d = {directory!r} + "/c"; os.makedirs(d, exist_ok=True); n = 2000; t = time.monotonic()
for i in range(n): os.close(os.open(f"{{d}}/{{i}}", os.O_CREAT | os.O_WRONLY))
print(round(n / (time.monotonic() - t)))
for i in range(n): os.unlink(f"{{d}}/{{i}}")
"""
    return int(lab.on("node1", "python3", "-c", script))


def pgbench(lab, directory, seconds):
    script = f"""set -e
        bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1); d={directory}/pg; s=/tmp/pg-bench
        run() {{ setpriv --reuid=postgres --regid=postgres --clear-groups env HOME=/tmp "$@"; }}
        mkdir -p $s; chown postgres $s; chmod 755 {directory}
        if [ ! -e $d/PG_VERSION ]; then
            mkdir -p $d; chown postgres $d; chmod 700 $d
            run $bin/initdb -k -D $d -A trust >/dev/null
        fi
        run $bin/pg_ctl -s -w -t 120 -D $d -o "-k $s -h '' -c shared_buffers=256MB" -l /tmp/pg-bench.log start
        run $bin/psql -qAt -h $s -d postgres -c 'select 1 from pgbench_accounts limit 1' >/dev/null 2>&1 ||
            run $bin/pgbench -q -i -s 10 -h $s postgres >/dev/null 2>&1
        run $bin/pgbench -n -c 4 -j 2 -T {seconds} -h $s postgres | sed -n 's/^tps = \\([0-9]*\\).*/\\1/p'
        run $bin/pg_ctl -s -w -t 120 -D $d -m fast stop"""
    return int(lab.on("node1", "bash", "-c", script, timeout=600).split()[-1])


MEASURES = [
    ("4k write + fdatasync, 1 job, 1/s", sync_writes(1)),
    ("4 jobs, 1/s", sync_writes(4)),
    ("1M sequential, MB/s", sequential),
    ("creates, 1/s", creates),
    ("pgbench -c4, tps", pgbench),
]


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
