# SPDX-License-Identifier: Apache-2.0
"""The test bed: a real S3 server behind a real link of a known rate (calib/testbed), and clients beyond it.

    with Bed(build_folder) as bed:
        bed.put("chunk", 8, 4 << 20)
        bed.shape(200, [0, 50])
        times = bed.clients(case)

Everything that it starts ends with it, also on Ctrl-C; what a killed run has left is swept away by the next one.
"""
import csv
import glob
import json
import os
import shutil
import signal
import subprocess
import tempfile

import quiet

HERE = os.path.dirname(os.path.abspath(__file__))
TESTBED = os.path.join(HERE, "..", "..", "calib", "testbed")
MTU = 9000
SERVER = "198.18.0.1"
PACKET_BITS = (MTU + 14) * 8             # of a full packet on the link
PAYLOAD_FRAC = (MTU - 52) / (MTU + 14)   # calib/testbed/link.sh
BUCKET = "bed"


class Skip(Exception):
    """What the test bed needs is not there."""


class Failed(Exception):
    pass


def interrupted(number, frame):
    raise KeyboardInterrupt


class Bed:
    def __init__(self, programs, tries=quiet.TRIES):
        self.programs = os.path.abspath(programs)
        self.quiet = quiet.Quiet(tries)
        self.name = "kvbed%d" % os.getpid()
        self.folder = os.path.join(tempfile.gettempdir(), self.name)
        self.env = dict(os.environ)
        self.up = False
        real_time = ["chrt", "--rr", "1"]
        self.ahead = real_time if succeeds(real_time + ["true"]) else ["nice", "-n", "-10"]
        if not os.path.exists(os.path.join(self.programs, "kvsim-calib-layers")):
            raise Skip("kvsim-calib-layers was not built (it needs libcurl)")

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, interrupted)
        sweep()
        os.mkdir(self.folder, 0o700)
        try:
            self.script("link.sh", "up", self.name)
            self.up = True
            told = self.script("rgw.sh", "up", os.path.join(self.folder, "rgw"), inside="s", ADDRESS=SERVER)
            self.env.update(line.split("=", 1) for line in told.splitlines() if line.startswith("S3_"))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)   # a second Ctrl-C must not leave servers behind
        if self.up:
            remove(self.name)
        shutil.rmtree(self.folder, ignore_errors=True)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def command(self, side, words):
        """Inside a namespace, and ahead of what else this machine does: server and clients need a tenth of a processor,
        but they need it now."""
        return ["ip", "netns", "exec", "%s-%s" % (self.name, side)] + self.ahead + words

    def script(self, name, *words, inside=None, **env):
        words = [os.path.join(TESTBED, name)] + [str(w) for w in words]
        return check(self.command(inside, words) if inside else words, dict(self.env, MTU=str(MTU), **env))

    def program(self, name, *words):
        return check(self.command("c", [os.path.join(self.programs, name)] + [str(w) for w in words]), self.env)

    def put(self, key, count, size_bytes):
        self.program("kvsim-calib-layers", "put", BUCKET, key, count, "%dB" % size_bytes)

    def shape(self, case):
        """The link of a case, with each client's own bound."""
        bounds = [0] * 64
        for i, c in enumerate(case["clients"]):
            bounds[flow_of(case, i)] = c.get("ceil", 0)
        self.script("link.sh", "shape", self.name, case["rate"], *bounds)

    def clients(self, case):
        """Runs the clients of a case, in quiet; a list of the rows (numbers by column) of each."""
        plan = {"bucket": BUCKET, "clients": [
            {"key": c.get("key", "chunk"), "objects": c["objects"], "layers": case["layers"],
             "slice": "%dB" % c.get("slice", case["slice"]), "mode": case["mode"],
             "lookahead": case.get("lookahead", 0), "connections": case["connections"], "flow": flow_of(case, i),
             "flow_each": flow_each(case),
             "compute": "%.9fs" % case["compute"], "start": "%.6fs" % c.get("start", 0)}
            for i, c in enumerate(case["clients"])]}
        path = os.path.join(self.folder, "plan.yaml")
        with open(path, "w") as f:
            json.dump(plan, f)
        found = [[] for _ in case["clients"]]
        told = self.quiet.measure(lambda: self.program("kvsim-calib-layers", "run", path))
        for row in csv.DictReader(told.splitlines()):
            found[int(row["client"])].append({k: float(v) for k, v in row.items()})
        return found


def flow_each(case):
    """A layerwise load is one flow, whatever its connections; of a chunkwise one each object is (docs/tiers.md, T15). A
    bound is one for all flows of a client: then they share one queue."""
    return case["mode"] == "chunkwise" and not any(c.get("ceil") for c in case["clients"])


def flow_of(case, i):
    return i * case["connections"] % 64 if flow_each(case) else i


def succeeds(words):
    try:
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def check(words, env):
    done = subprocess.run(words, capture_output=True, text=True, env=env)
    if done.returncode == 77:
        raise Skip((done.stdout.strip() or done.stderr.strip()).replace("SKIP: ", ""))
    if done.returncode != 0:
        raise Failed("%s: exit code %d\n%s" % (" ".join(words), done.returncode, done.stderr))
    return done.stdout


def remove(name):
    folder = os.path.join(tempfile.gettempdir(), name, "rgw")
    if os.path.isdir(folder):
        subprocess.run([os.path.join(TESTBED, "rgw.sh"), "down", folder], check=False)
    subprocess.run([os.path.join(TESTBED, "link.sh"), "down", name], check=False)


def sweep():
    """Namespaces and folders of runs that were killed: their names end with a process that is no more."""
    left = [os.path.basename(path)[:-2] for path in glob.glob("/run/netns/kvbed*-s")]
    left += [os.path.basename(path) for path in glob.glob(os.path.join(tempfile.gettempdir(), "kvbed*"))]
    for name in sorted(set(left)):
        if not name[5:].isdigit() or os.path.exists("/proc/" + name[5:]):
            continue
        remove(name)
        shutil.rmtree(os.path.join(tempfile.gettempdir(), name), ignore_errors=True)
