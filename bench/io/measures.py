"""What is measured on a directory of a lab's first node; each returns one number."""

import json


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
