#!/usr/bin/env python3
"""Do tasks give the bytes of one process under real engines, when they are killed and the store fails?

Makes shards in one process. Then it makes them in 1, 3 and 7 tasks per step, under each engine that is
installed: xargs, Slurm (a running cluster on this machine) and Ray (in the Python that runs this script).
Each writes to a folder, and to a local S3 server (`moto`) behind a proxy that refuses requests, cuts
answers and is slow. Meanwhile, workers are killed at random moments. The engine, or another run of its
script, starts them again. All files are compared with those of one process.

Prints a line per engine, number of tasks and place. Then it prints the largest time and memory of a task
of each step.
"""
import argparse
import collections
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUCKET = "bucket"
SIGNED = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=none"

# Stands in for `ebert` on the PATH: runs it, and notes which workers run and what each took.
SHIM = """#!{python} -SE
import json, os, random, sys, time
is_worker = sys.argv[1:2] == ["worker"]
if is_worker:
    os.environ["XDG_CACHE_HOME"] = "{work}/machine" + str(random.randrange(3))
begun, child = time.monotonic(), os.fork()
if child == 0:
    os.execv("{ebert}", ["ebert"] + sys.argv[1:])
running = "{work}/running/" + str(child)
if is_worker:
    open(running, "w").close()
_, status, usage = os.wait4(child, 0)
code = os.waitstatus_to_exitcode(status)
if is_worker:
    os.remove(running)
    took = dict(step=sys.argv[2], code=code, wall=time.monotonic() - begun, mb=usage.ru_maxrss / 1024)
    with open("{work}/log", "a") as log:
        print(json.dumps(took), file=log)
sys.exit(code if code >= 0 else 128 - code)
"""


class Proxy(threading.Thread):
    """Passes connections to a server. Of each ten, one is refused with status 500, one is cut, and one is slow."""

    def __init__(self, to):
        super().__init__(daemon=True)
        self.to, self.faults, self.random = to, 0, random.Random(1)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self):
        while True:
            client, _ = self.listener.accept()
            faults = (client, self.random.randrange(10), self.random.random())
            threading.Thread(target=self.serve, args=faults, daemon=True).start()

    def serve(self, client, kind, part):
        self.faults += kind < 3
        with client, socket.create_connection(("127.0.0.1", self.to)) as server:
            if kind == 0:
                client.recv(1 << 16)
                client.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            if kind == 2:
                time.sleep(part)
            left = [int(part * 300_000) if kind == 1 else 1 << 60]

            def answers():
                try:
                    while left[0] > 0 and (data := server.recv(1 << 16)):
                        client.sendall(data[: left[0]])
                        left[0] -= len(data)
                    client.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

            back = threading.Thread(target=answers, daemon=True)
            back.start()
            try:
                while data := client.recv(1 << 16):
                    server.sendall(data)
                server.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            back.join()


class Store:
    """A server with a bucket, behind a proxy."""

    def __init__(self):
        server = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        self.moto = subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        # It first reports the port it chose, and later each request.
        self.direct = next(int(found[1]) for line in self.moto.stderr if (found := re.search(r"http://.*:(\d+)", line)))
        threading.Thread(target=collections.deque, args=(self.moto.stderr, 0), daemon=True).start()
        self.ask("PUT", f"/{BUCKET}")
        self.proxy = Proxy(self.direct)
        self.proxy.start()

    def ask(self, method, path):
        address = f"http://127.0.0.1:{self.direct}{path}"
        request = urllib.request.Request(address, method=method, headers={"Authorization": SIGNED})
        return urllib.request.urlopen(request).read()

    def hashes(self, prefix):
        found, token = {}, ""
        while True:
            page = self.ask("GET", f"/{BUCKET}?list-type=2&prefix={urllib.parse.quote(prefix)}/{token}")
            page = xml.etree.ElementTree.fromstring(page)
            space = page.tag.partition("}")[0] + "}"
            for key in page.iter(f"{space}Key"):
                data = self.ask("GET", f"/{BUCKET}/{key.text}")
                found[key.text.removeprefix(f"{prefix}/")] = hashlib.sha256(data).hexdigest()
            more = page.findtext(f"{space}NextContinuationToken")
            if not more:
                return found
            token = "&continuation-token=" + urllib.parse.quote(more)

    def variables(self):
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.proxy.port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }


def hashes(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def without_options(hashes):
    """The options have the name of the place."""
    return {name: value for name, value in hashes.items() if name != "ebert.toml"}


class Killer(threading.Thread):
    """Kills a random worker at random moments, so many in all."""

    def __init__(self, running, kills):
        super().__init__(daemon=True)
        self.running, self.left, self.killed, self.stopped = running, kills, 0, threading.Event()
        self.random = random.Random(kills)

    def run(self):
        while self.left and not self.stopped.wait(0.02 + 0.3 * self.random.random()):
            workers = sorted(self.running.iterdir())
            if not workers:
                continue
            try:
                os.kill(int(self.random.choice(workers).name), signal.SIGKILL)
                self.left, self.killed = self.left - 1, self.killed + 1
            except (ProcessLookupError, FileNotFoundError):
                pass


def has_slurm():
    return shutil.which("sbatch") and subprocess.run(["sinfo", "--noheader"], capture_output=True).returncode == 0


def has_ray():
    return subprocess.run([sys.executable, "-c", "import ray"], capture_output=True).returncode == 0


def run_slurm(arguments, env, cwd):
    subprocess.run(arguments, env=env, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    while subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=True).stdout.strip():
        time.sleep(0.2)


def run_once(arguments, env):
    subprocess.run(arguments, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def is_done(env, out):
    plan = ["ebert", "plan", "--config", f"{out}/ebert.toml", "--log", "json"]
    said = subprocess.run(plan, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    tasks = [event for event in map(json.loads, said.stdout.splitlines()) if event["event"] == "task"]
    return said.returncode == 0 and all(task["done"] for task in tasks)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ebert = ROOT / "target/release/ebert"
    parser.add_argument("--ebert", default=ebert, type=pathlib.Path, help="a build with the feature `remote`")
    parser.add_argument("--work", default=ROOT / "target/bench/engines", type=pathlib.Path)
    parser.add_argument("--corpus", default=ROOT / "data/sample")
    parser.add_argument("--tokenizer", default=ROOT / "data/sample/tokenizer.json")
    parser.add_argument("--kills", default=50, type=int, help="workers to kill, each time (default 50)")
    parser.add_argument("--tasks", default="1,3,7", help="tasks per step (default 1,3,7)")
    parser.add_argument("--engines", default="xargs,slurm,ray", help="engines to try (default all)")
    parser.add_argument("--places", default="folder,store", help="where to write (default both)")
    given = parser.parse_args()
    work = given.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    (work / "bin").mkdir(parents=True)
    (work / "running").mkdir()
    shim = work / "bin/ebert"
    shim.write_text(SHIM.format(python=sys.executable, ebert=given.ebert.resolve(), work=work))
    shim.chmod(0o755)
    env = os.environ | {"PATH": f"{work}/bin:{os.environ['PATH']}", "XDG_CACHE_HOME": str(work / "machine")}
    corpus, tokenizer = str(pathlib.Path(given.corpus).resolve()), str(pathlib.Path(given.tokenizer).resolve())
    options = ["--nouns", "off", "--bucket-mib", "1"]
    both = ["--corpus", corpus, "--tokenizer", tokenizer, *options]
    one = work / "one"
    subprocess.run(["ebert", "shards", "--out", one, *both], env=env, check=True, stdout=subprocess.DEVNULL)
    wanted = without_options(hashes(one))
    store = None
    if "store" in given.places:
        store = Store()
        env |= store.variables()

    def of_xargs(out, n):
        run_once([ROOT / "deploy/xargs/shards.sh", out, str(n), "3", *both], env)

    def of_slurm(out, n):
        run_slurm([ROOT / "deploy/slurm/shards.sh", corpus, tokenizer, out, str(n), *options], env, work)

    def of_ray(out, n):
        run_once([sys.executable, ROOT / "deploy/ray/shards.py", out, str(n), "1", *both], env)

    engines = {"xargs": (of_xargs, lambda: True), "slurm": (of_slurm, has_slurm), "ray": (of_ray, has_ray)}
    took = collections.defaultdict(lambda: collections.defaultdict(list))
    differ = False
    print(f"{'engine':8} {'tasks':>5} {'place':8} {'kills':>5} {'failed':>6} {'runs':>4} {'s':>6}   bytes", flush=True)
    for name in given.engines.split(","):
        start, is_here = engines[name]
        if not is_here():
            print(f"{name:8} is not installed")
            continue
        for n in map(int, given.tasks.split(",")):
            for place in given.places.split(","):
                prefix = f"{name}-{n}"
                out = str(work / prefix) if place == "folder" else f"s3://{BUCKET}/{prefix}"
                (work / "log").write_text("")
                killer, begun, runs = Killer(work / "running", given.kills), time.monotonic(), 0
                killer.start()
                while runs == 0 or not is_done(env, out):
                    start(out, n)
                    runs += 1
                killer.stopped.set()
                killer.join()
                found = without_options(hashes(work / prefix) if place == "folder" else store.hashes(prefix))
                same = found == wanted
                differ |= not same
                tasks = [json.loads(line) for line in (work / "log").read_text().splitlines()]
                failed = sum(task["code"] > 0 for task in tasks)
                said = "the same" if same else f"{sorted(set(found.items()) ^ set(wanted.items()))[:4]} differ"
                seconds = time.monotonic() - begun
                print(f"{name:8} {n:5} {place:8} {killer.killed:5} {failed:6} {runs:4} {seconds:6.0f}   {said}", flush=True)
                for task in tasks:
                    if task["code"] == 0:
                        took[task["step"]][n].append((task["wall"], task["mb"]))
                shutil.rmtree(work / prefix, ignore_errors=True)
                for machine in work.glob("machine*"):
                    shutil.rmtree(machine, ignore_errors=True)
    if store:
        print(f"{store.proxy.faults} faults of the store")
        store.moto.kill()
    counts = list(map(int, given.tasks.split(",")))
    print(f"\n{'step':14}" + "".join(f"{f'{n} tasks: s, MB':>18}" for n in counts))
    for step, of in took.items():
        cells = ((max(t for t, _ in of[n]), max(mb for _, mb in of[n])) if of[n] else (0, 0) for n in counts)
        print(f"{step:14}" + "".join(f"{f'{wall:.1f}, {mb:.0f}':>18}" for wall, mb in cells))
    sys.exit(differ)


if __name__ == "__main__":
    main()
