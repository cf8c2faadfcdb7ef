#!/usr/bin/env python3
"""From a fault that is noticed to the action's start and to the first answer of the other node: a killed process and a closed port (stopstart),
an unplugged cable and a ping target that is silent (wait), with the reference's times and with reaction="fast". Writes results.md beside
this file.

    bench/reaction/run.py [--runs 5] [--reactions fast,normal]

Needs root, the lab build (./test build), and perl.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lab import Lab, machine, median, table  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
MODULE, VIP, PORT = "app", "10.90.1.30", 7001
LISTENER = "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 7001, Listen => 50, ReuseAddr => 1) or die; while (my $c = $s->accept) { print $c qq(@NODE@\\n); close $c }"
SCRIPTS = {
    "start_prim": "setsid perl -e '@LISTENER@' >/dev/null 2>&1 & echo $! > /run/app.pid\n"
    "setsid perl -e 'sleep' bench-worker >/dev/null 2>&1 & echo $! > /run/worker.pid",
    "stop_prim": "kill $(cat /run/app.pid /run/worker.pid) 2>/dev/null; rm -f /run/app.pid /run/worker.pid; true",
}
# Who answers, and when: CLOCK_BOOTTIME in microseconds.
PROBE = f"""
import os, socket, time
with open('/tmp/b.answers', 'w') as out:
    while not os.path.exists('/tmp/b.stop'):
        try:
            with socket.create_connection(('{VIP}', {PORT}), 0.05) as s:
                s.settimeout(0.05)
                name = s.recv(20).decode().strip()
                if name:  # else it died between accepting and answering
                    print(time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000, name, file=out, flush=True)
        except OSError:
            pass
        time.sleep(0.005)
"""


def boot_us():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


def setup(lab, reaction):
    config = open(os.path.join(HERE, "userconfig.xml")).read().replace("@REACTION@", reaction)
    for node in ("node1", "node2"):
        files = {"conf/userconfig.xml": config}
        for name, text in SCRIPTS.items():
            files[f"bin/{name}"] = "#!/bin/sh\n" + text.replace("@LISTENER@", LISTENER.replace("@NODE@", node)) + "\n"
        lab.on(node, "mkdir", "-p", "/srv/app", "/var/package/conf", "/var/package/bin")
        for name, text in files.items():
            put = lab.argv("exec", node, "--", "sh", "-c", f"cat > /var/package/{name}; chmod 755 /var/package/{name}")
            subprocess.run(put, input=text, text=True, check=True)
        lab.on(node, "holdfast", "module", "install", "-m", MODULE, "/var/package")
        lab.on(node, "holdfast", "config", "-m", MODULE)
    lab.on("node1", "holdfast", "prim", "-m", MODULE)
    lab.wait("node1", MODULE, "ALONE")
    lab.on("node2", "holdfast", "second", "-m", MODULE)
    lab.wait("node1", MODULE, "PRIM")
    lab.wait("node2", MODULE, "SECOND")


def roles(lab):
    return ("node1", "node2") if lab.state("node1", MODULE)[0] == "PRIM" else ("node2", "node1")


def logged(lab, node, since_us, *parts):
    """When a line with one of these was written, after `since_us`."""
    lines = json.loads(lab.on(node, "holdfast", "log", "-m", MODULE, "-s", "300", "-A", "-o", "json"))
    lines = lines if isinstance(lines, list) else lines["lines"]
    offset = time.time_ns() // 1000 - boot_us()
    found = [line["at_us"] - offset for line in lines if any(part in line["text"] for part in parts)]
    return min(at for at in found if at > since_us)


def close_port(lab, node):
    lab.on(node, "sh", "-c", "kill $(cat /run/app.pid)")


def kill_process(lab, node):
    lab.on(node, "sh", "-c", "kill -9 $(cat /run/worker.pid)")


def unplug(lab, node):
    lab.run("unplug", node, "default")


def silence(lab, node):
    lab.on("client", "sh", "-c", "nft add table inet t && nft 'add chain inet t in { type filter hook input priority 0 ; }'"
           f" && nft add rule inet t in ip saddr 10.90.1.{node[-1]} icmp type echo-request drop")


def nothing(lab, node):
    pass


def plug(lab, node):
    lab.run("plug", node, "default")


def answer(lab, node):
    lab.on("client", "nft", "delete", "table", "inet", "t")


# How it begins, how it ends, and what the log says when it is noticed.
FAULTS = {
    "killed process, stopstart": (kill_process, nothing, "event atleast on proc perl"),
    "closed port, stopstart": (close_port, nothing, "Resource tcp.app set to down"),
    "unplugged cable, wait": (unplug, plug, "Resource intf.10.90.1.0 set to down"),
    "silent ping target, wait": (silence, answer, "Resource ping.router set to down"),
}


def one(lab, fault):
    begin, end, noticed = FAULTS[fault]
    primary, secondary = roles(lab)
    lab.on("client", "rm", "-f", "/tmp/b.stop", "/tmp/b.answers")
    probe = subprocess.Popen(lab.argv("exec", "client", "--", sys.executable, "-c", PROBE), stdin=subprocess.DEVNULL)
    time.sleep(1 + random.uniform(0, 10 if lab.slow else 1))  # anywhere between two looks
    at = boot_us()
    begin(lab, primary)
    lab.wait(secondary, MODULE, "PRIM" if end is nothing else "ALONE", 180)
    time.sleep(0.5)
    down = logged(lab, primary, at, noticed)
    action = logged(lab, primary, at, "Action stopstart", "Action wait")
    lab.on("client", "touch", "/tmp/b.stop")
    probe.wait()
    answers = [line.split() for line in lab.on("client", "cat", "/tmp/b.answers").splitlines()]
    first = min(int(us) for us, name in answers if name == secondary and int(us) > at)
    end(lab, primary)
    lab.wait(secondary, MODULE, "PRIM", 180)
    lab.wait(primary, MODULE, "SECOND", 180)
    return {"down": (down - at) / 1000, "action": (action - at) / 1000, "answer": (first - at) / 1000}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--reactions", default="fast,normal")
    args = parser.parse_args()
    rows = []
    for reaction in args.reactions.split(","):
        with Lab("bench-re") as lab:
            lab.slow = reaction != "fast"
            setup(lab, reaction)
            for fault in FAULTS:
                runs = []
                for _ in range(args.runs):
                    runs.append(one(lab, fault))
                    print(reaction, fault, runs[-1], flush=True)
                cells = [[run[part] / 1000 for run in runs] for part in ("down", "action", "answer")]
                rows.append([fault, reaction, len(runs)] + [f"{median(cell):.2f} / {max(cell):.2f}" for cell in cells])
    head = ["fault", "reaction", "runs", "noticed", "action begins", "first answer of the other node"]
    with open(os.path.join(HERE, "results.md"), "w") as out:
        out.write(f"# From a fault to what is done about it\n\n{machine()}. Seconds, median / longest, from the fault; the fault comes at any moment between two looks.\n\n")
        out.write(f"    bench/reaction/run.py {' '.join(sys.argv[1:])}\n\n" + table(head, rows))


if __name__ == "__main__":
    main()
