#!/usr/bin/env python3
"""How long a power cut of the primary is felt: until the virtual IP answers, until start_prim returns, until the first new commit; beside
keepalived, which moves an address and nothing else. Keeps what it measured in runs.json (a part measured again replaces the old one)
and writes results.md beside this file.

    bench/failover/run.py [--runs 20] [--timeouts 1000,30000] [--keepalived 1,0.1] [--no-plain]

Needs root, the lab build (./test build), and the Debian packages postgresql and keepalived.
"""

import argparse
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lab import RECORDER, Lab, machine, quantile, sh, table  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
MODULE, VIP, KEEPALIVED_VIP = "postgresql", "10.90.1.10", "10.90.1.20"


def boot_us():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def wall_to_boot_us(wall_us):
    return wall_us - (time.time_ns() // 1000 - boot_us())


def background(lab, node, *command):
    return subprocess.Popen(lab.argv("exec", node, "--", *command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def gap_around(times_us, cut_us):
    """Last time before the cut and first time after it; a pause of under 100 ms is no gap."""
    before = [t for t in times_us if t <= cut_us]
    last = max(before)
    after = [t for t in times_us if t > last + 100_000]
    return last, min(after)


def setup(lab, timeout_ms):
    for node in ("node1", "node2"):
        lab.on(node, "sh", "-c", f"""set -e
            holdfast module install -m {MODULE} "$SAFE/Application_Modules/postgresql.safe"
            sed -i -e 's/name="HEARTBEAT_TIMEOUT" value="[^"]*"/name="HEARTBEAT_TIMEOUT" value="{timeout_ms}ms"/' \\
                -e 's/name="HEARTBEAT_PULSE" value="[^"]*"/name="HEARTBEAT_PULSE" value="{min(700, timeout_ms // 5)}ms"/' \\
                "$SAFE/modules/{MODULE}/conf/userconfig.xml"
            holdfast config -m {MODULE}""")
    lab.on("node1", "holdfast", "prim", "-m", MODULE)
    lab.wait("node1", MODULE, "ALONE")
    lab.on("node2", "holdfast", "second", "-m", MODULE)
    lab.wait("node1", MODULE, "PRIM")


def log_times(lab, node, text):
    lines = json.loads(lab.on(node, "holdfast", "log", "-m", MODULE, "-s", "200", "-A", "-o", "json"))
    lines = lines if isinstance(lines, list) else lines["lines"]
    return [wall_to_boot_us(line["at_us"]) for line in lines if line["text"].startswith(text)]


def one_cut(lab, primary, secondary):
    lab.on("client", "rm", "-f", "/tmp/b.stop", "/tmp/b.probe")
    probe = background(lab, "client", sys.executable, os.path.join(HERE, "probe.py"), VIP, "/tmp/b.probe", "/tmp/b.stop")
    load = background(lab, "client", RECORDER, "run", "--host", VIP, "--journal", "/tmp/b.journal", "--seconds", "120", "--stop", "/tmp/b.stop")
    time.sleep(3)
    cut_us = boot_us()
    lab.run("power-off", primary)
    lab.wait(secondary, MODULE, "ALONE")
    time.sleep(2)
    lab.on("client", "touch", "/tmp/b.stop")
    load.communicate(), probe.communicate()
    answers = [int(t) for t in lab.on("client", "cat", "/tmp/b.probe").split()]
    acks = [int(line.split()[2]) for line in lab.on("client", "cat", "/tmp/b.journal").splitlines() if line.startswith("a")]
    verdict = json.loads(lab.on("client", RECORDER, "verify", "--host", VIP, "--journal", "/tmp/b.journal"))
    assert verdict["held"], verdict
    last_answer, first_answer = gap_around(answers, cut_us + 200_000)
    last_ack, first_ack = gap_around(acks, cut_us + 200_000)
    began = max(log_times(lab, secondary, "Script start_prim"))
    ended = max(log_times(lab, secondary, "Local state ALONE green"))  # said when start_prim has returned
    lab.run("power-on", primary)
    time.sleep(1)
    if lab.state(primary, MODULE) == ("STOP", "red"):
        lab.on(primary, "holdfast", "start", "-m", MODULE)
    lab.wait(secondary, MODULE, "PRIM")
    lab.wait(primary, MODULE, "SECOND")
    ms = lambda us: us / 1000  # noqa: E731
    return {"vip": ms(first_answer - last_answer), "start_prim": ms(ended - last_ack), "commit": ms(first_ack - last_ack), "recovery": ms(first_ack - began)}


def ours(timeout_ms, runs, kinds):
    """Each kind's name and its runs, on one pair."""
    measures = {"cut": cut, "swap": swap, "stop": orderly_stop}
    with Lab("bench-fo") as lab:
        setup(lab, timeout_ms)
        for kind in kinds:
            rows = []
            for run in range(runs):
                rows.append(measures[kind](lab))
                print(f"timeout {timeout_ms}: {kind} {run + 1}: {rows[-1]}", flush=True)
            yield kind, rows


def cut(lab):
    return one_cut(lab, *roles(lab))


def swap(lab):
    """Swap's whole time, and the part that is PostgreSQL's own stop and start (the scripts), in ms."""
    primary, secondary = roles(lab)
    began = boot_us()
    lab.on(primary, "holdfast", "swap", "-m", MODULE)
    lab.wait(secondary, MODULE, "PRIM")
    lab.wait(primary, MODULE, "SECOND")
    whole = boot_us() - began
    stop = max(log_times(lab, primary, "Virtual IP")) - max(t for t in log_times(lab, primary, "Begin of Swap"))
    start = max(log_times(lab, secondary, "Local state PRIM green")) - max(log_times(lab, secondary, "Script start_prim"))
    return {"swap": whole / 1000, "scripts": (stop + start) / 1000}


def roles(lab):
    return ("node1", "node2") if lab.state("node1", MODULE)[0] == "PRIM" else ("node2", "node1")


def orderly_stop(lab):
    """A stop of the primary in good order until the other node is ALONE (green), and the part that is the scripts, in ms; brings it back."""
    primary, secondary = roles(lab)
    began = boot_us()
    lab.on(primary, "holdfast", "stop", "-m", MODULE)
    lab.wait(secondary, MODULE, "ALONE")
    whole = max(log_times(lab, secondary, "Local state ALONE green")) - began
    stop = max(log_times(lab, primary, "Virtual IP")) - max(log_times(lab, primary, "Action stop called by"))
    start = max(log_times(lab, secondary, "Local state ALONE green")) - max(log_times(lab, secondary, "Script start_prim"))
    lab.on(primary, "holdfast", "start", "-m", MODULE)
    lab.wait(secondary, MODULE, "PRIM")
    lab.wait(primary, MODULE, "SECOND")
    return {"swap": whole / 1000, "scripts": (stop + start) / 1000}


def keepalived(interval, runs):
    rows = []
    conf = open(os.path.join(HERE, "keepalived.conf")).read().replace("@INTERVAL@", str(interval))
    with Lab("bench-ka") as lab:
        def start(node, priority):
            text = conf.replace("@PRIORITY@", str(priority))
            subprocess.run(lab.argv("exec", node, "--", "sh", "-c", "cat >/tmp/keepalived.conf"), input=text, text=True, check=True)
            lab.on(node, "sh", "-c", "rm -f /tmp/ka.pid /tmp/ka-vrrp.pid; keepalived -f /tmp/keepalived.conf -p /tmp/ka.pid -r /tmp/ka-vrrp.pid")
        start("node1", 100)
        time.sleep(4 * interval + 3)
        start("node2", 90)
        time.sleep(2)
        pair = ["node1", "node2"]
        for run in range(runs):
            lab.on("client", "rm", "-f", "/tmp/b.stop", "/tmp/b.probe")
            probe = background(lab, "client", sys.executable, os.path.join(HERE, "probe.py"), KEEPALIVED_VIP, "/tmp/b.probe", "/tmp/b.stop")
            time.sleep(2)
            cut_us = boot_us()
            lab.run("power-off", pair[0])
            time.sleep(5 * interval + 3)
            lab.on("client", "touch", "/tmp/b.stop")
            probe.communicate()
            answers = [int(t) for t in lab.on("client", "cat", "/tmp/b.probe").split()]
            last, first = gap_around(answers, cut_us + 100_000)
            rows.append((first - last) / 1000)
            print(f"keepalived {interval} s: run {run + 1}: {rows[-1]} ms", flush=True)
            lab.run("power-on", pair[0])
            time.sleep(1)
            start(pair[0], 90)
            pair.reverse()
            time.sleep(4 * interval + 3)
    return rows


def plain_recovery(runs):
    """The same load and the same kill, on plain ext4 of one node: from the start of the server to the first commit, in ms."""
    values = []
    with Lab("bench-pr") as lab:
        lab.on("node1", "mkdir", "-p", "/srv/pg")
        script = open(os.path.join(HERE, "plain.sh")).read()
        for _ in range(runs):
            values.append(float(lab.on("node1", "bash", "-c", script, RECORDER).split()[-1]))
            print(f"plain ext4 crash recovery: {values[-1]} ms", flush=True)
    return values


def p(values):
    return f"{quantile(values, 0.5):.0f} / {quantile(values, 0.99):.0f}"


def measured(args):
    """What this call measures: one label after the other, with its runs."""
    for timeout in (int(t) for t in args.timeouts.split(",") if t):
        for kind, runs in ours(timeout, args.runs, args.kinds.split(",")):
            yield kind, str(timeout), runs
    for interval in (args.keepalived.split(",") if args.keepalived else []):
        yield "keepalived", interval, keepalived(float(interval), args.runs)
    if args.plain:
        yield "plain", "ext4", plain_recovery(args.runs)


def render(kept):
    """The page of everything that was kept, each part with the command that made it."""
    rows, swaps, made = [], [], []
    for label, entry in kept.items():
        kind, name = label.split(" ", 1)
        runs = entry["runs"]
        if kind == "cut":
            rows.append([f'Holdfast, timeout="{name}"', len(runs), *(p([r[k] for r in runs]) for k in ("vip", "start_prim", "commit", "recovery"))])
        elif kind == "keepalived":
            rows.append([f"keepalived, advert_int {name}", len(runs), p(runs), "", "", ""])
        elif kind == "plain":
            rows.append(["the same crash recovery on plain ext4", len(runs), "", "", "", p(runs)])
        else:
            overhead = [s["swap"] - s["scripts"] for s in runs]
            swaps.append([f'{kind}, timeout="{name}"', len(runs), p([s["swap"] for s in runs]), p([s["scripts"] for s in runs]), p(overhead)])
        made.append(f"    {entry['command']}  # {label}, {entry['date']}")
    text = f"# How long a power cut of the primary is felt\n\n{machine()}. PostgreSQL under load by 4 connections; ms, p50 / p99, from the last answer before the cut.\n\n"
    text += "\n".join(made) + "\n\n"
    text += table(["", "runs", "virtual IP answers", "start_prim returned", "first new commit", "start_prim to first commit"], rows) + "\n"
    return text + table(["in good order", "runs", "whole", "of it PostgreSQL's stop and start", "the rest"], swaps)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--timeouts", default="1000,30000", help="heartbeat time-outs in ms; empty: none")
    parser.add_argument("--kinds", default="cut,swap,stop", help="what is measured at each time-out")
    parser.add_argument("--keepalived", default="1,0.1", help="advertisement intervals in s; empty: none")
    parser.add_argument("--plain", action=argparse.BooleanOptionalAction, default=True, help="crash recovery on plain ext4")
    args = parser.parse_args()
    path = os.path.join(HERE, "runs.json")
    kept = json.load(open(path)) if os.path.exists(path) else {}
    command = " ".join(["bench/failover/run.py", *sys.argv[1:]])
    for kind, name, runs in measured(args):
        kept[f"{kind} {name}"] = {"command": command, "date": time.strftime("%Y-%m-%d"), "runs": runs}
        json.dump(kept, open(path, "w"), indent=1)
        open(os.path.join(HERE, "results.md"), "w").write(render(kept))
    print(render(kept))


main()
