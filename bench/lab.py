"""What the benchmarks share: a lab, commands in its nodes, medians, a table. Python 3 standard library only."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HOLDFAST = os.path.join(ROOT, "target", "lab", "holdfast")
RECORDER = os.path.join(ROOT, "target", "lab", "holdfast-recorder")


def sh(*argv, timeout=300, check=True, **more):
    """Runs a command without a shell; its standard output. Says everything it knows when it fails."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, **more)
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(argv)}\nended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Lab:
    """A lab that is taken away at the end of a `with`."""

    def __init__(self, name, *options, holdfast=HOLDFAST):
        self.name, self.options, self.holdfast = name, options, holdfast

    def __enter__(self):
        self.run("down", check=False)
        self.run("up", *self.options)
        return self

    def __exit__(self, *_):
        self.run("down")

    def argv(self, verb, *args):
        return [self.holdfast, "lab", verb, "--name", self.name, *args]

    def run(self, verb, *args, **more):
        return sh(*self.argv(verb, *args), **more)

    def on(self, node, *command, **more):
        return self.run("exec", node, "--", *command, **more)

    def state(self, node, module):
        text = self.on(node, "holdfast", "state", "-m", module, "-o", "json", check=False)
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            return None
        rows = value if isinstance(value, list) else value.get("modules", [])
        return next(((r["state"], r["colour"]) for r in rows if r["node"] == node), None)

    def wait(self, node, module, state, seconds=120):
        deadline = time.monotonic() + seconds
        colour = "red" if state == "STOP" else "green"
        while self.state(node, module) != (state, colour):
            if time.monotonic() > deadline:
                sys.exit(f"{module} on {node} is {self.state(node, module)}, not {state} {colour}, after {seconds} s")
            time.sleep(0.05)


def install(lab, module, mode, both, encryption="on"):
    """Installs and starts a module that replicates /srv/MODULE; `both`: on node2 too; `encryption` None: for a build that knows no such attribute."""
    text = open(os.path.join(ROOT, "bench", "userconfig.xml")).read()
    if encryption is None:
        text = text.replace(' encryption="@ENCRYPTION@"', "")
        encryption = ""
    text = text.replace("@ASYNC@", mode).replace("@ENCRYPTION@", encryption).replace("@DIR@", f"/srv/{module}")
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as package:
        for part in ("conf", "bin"):
            os.mkdir(os.path.join(package, part))
        open(os.path.join(package, "conf", "userconfig.xml"), "w").write(text)
        for node in ("node1", "node2"):
            lab.on(node, "mkdir", "-p", f"/srv/{module}")
            lab.on(node, "mkdir", "-p", f"/var/holdfast/packages/{module}")
            sh("tar", "-C", package, "-cf", f"{package}.tar", ".")
            unpack = lab.argv("exec", node, "--", "tar", "-C", f"/var/holdfast/packages/{module}", "-xf", "-")
            with open(f"{package}.tar", "rb") as file:
                subprocess.run(unpack, stdin=file, check=True)
            lab.on(node, "holdfast", "module", "install", "-m", module, f"/var/holdfast/packages/{module}")
            lab.on(node, "holdfast", "config", "-m", module)
        os.unlink(f"{package}.tar")
    lab.on("node1", "holdfast", "prim", "-m", module)
    lab.wait("node1", module, "ALONE")
    if both:
        lab.on("node2", "holdfast", "second", "-m", module)
        lab.wait("node1", module, "PRIM")


def quantile(values, share):
    """Nearest rank: the value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join(lines + ["| " + " | ".join(str(c) for c in row) + " |" for row in rows]) + "\n"


def machine():
    """One line about this machine, for a result file."""
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "?")
    return f"{os.cpu_count()} x {model}, kernel {os.uname().release}, {time.strftime('%Y-%m-%d')}"


median = statistics.median
