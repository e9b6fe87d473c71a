"""How fast is training, what bounds it, and how much faster is it than Hugging Face `transformers`?

Runs `ebert bench` and peer.py (where this Python has torch and transformers) in turn, as whole
processes, on the same documents. Appends a row of medians with their range to a CSV. Needs neither
network nor cargo: take the two programs of the trainer, shards and this folder to a GPU machine and run

    python3 train.py --ebert ./ebert --shards folder --shape bert-base --set optimizer.tokens=65536
"""

import argparse
import csv
import datetime
import importlib.util
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
# The peers: one that pads each micro-batch, and one that packs documents into chunks, as run_mlm.py does by default.
PEERS = ["eager", "eager_packed", "compiled", "compiled_packed"]


def call(command, environment=None):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--ebert", default="target/release/ebert")
    options.add_argument("--shards", default="data/work", help="output folder of `ebert shards`")
    options.add_argument("--shape", default="mini-lm", help="bert-base, mini-lm or sample")
    options.add_argument("--set", action="append", default=[], help="a value of the recipe, such as optimizer.tokens=65536")
    options.add_argument("--steps", default=5, type=int)
    options.add_argument("--warm", default=2, type=int)
    options.add_argument("--rounds", default=3, type=int)
    options.add_argument("--threads", type=int)
    options.add_argument("--micro", default=32, type=int, help="sequences that the peer trains on at once")
    options.add_argument("--pad", default=0, type=int, help="tokens that padded peers pad to, if not to the longest of a micro-batch: each new shape may be compiled for minutes")
    options.add_argument("--peers", nargs="*", default=PEERS[:2], choices=PEERS, help="which kinds of the peer are measured in each round")
    options.add_argument("--csv", default="docs/bench/trainer.csv", type=pathlib.Path)
    a = options.parse_args()
    has_peer = bool(a.peers) and all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
    if a.peers and not has_peer:
        print("this Python has no torch and transformers: no peer is measured")
    environment = dict(os.environ)
    if "LIBTORCH" not in environment and importlib.util.find_spec("torch"):
        environment["LIBTORCH"] = str(pathlib.Path(importlib.util.find_spec("torch").origin).parent)
    threads = ["--threads", str(a.threads)] if a.threads else []
    ours, peers = [], {}
    with tempfile.TemporaryDirectory() as folder:
        command = [a.ebert, "bench", "--shards", a.shards, "--shape", a.shape, "--steps", a.steps, "--warm", a.warm, "--log", "json", *threads]
        command += [word for value in a.set for word in ("--set", value)]
        for number in range(a.rounds):
            ours.append(call([*map(str, command), "--export", folder], environment))
            print(f"round {number + 1}  {'ours':20} {ours[-1]['tokens_per_second']:12,.0f} tokens/s  {ours[-1]['utilisation']:6.1%} of the matrix rate", flush=True)
            for name in a.peers if has_peer else ():
                more = ["--compile"] if name.startswith("compiled") else []
                # A chunk is as long as the longest sequence, [CLS] and [SEP] included.
                more += ["--packed", str(ours[-1]["max_tokens"] + 2)] if name.endswith("packed") else []
                peer = [sys.executable, HERE / "peer.py", folder, "--warm", str(a.warm), "--micro", str(a.micro), "--pad", str(a.pad), *threads, *more]
                peers.setdefault(name, []).append(call(peer))
                print(f"round {number + 1}  {name:20} {peers[name][-1]['tokens_per_second']:12,.0f} tokens/s  {peers[name][-1]['padding']:6.1%} padding", flush=True)

    median = lambda runs, key: statistics.median(run[key] for run in runs)
    lowest_and_highest = lambda runs: [round(of(run["tokens_per_second"] for run in runs)) for of in (min, max)]
    last, rate = ours[-1], median(ours, "tokens_per_second")
    # Padding and memory are those of a padded peer, if there is one.
    padded_first = sorted(peers, key=lambda name: name.endswith("packed"))
    one = peers[padded_first[0]][0] if peers else {}
    machine = last["gpu"] or re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())[1]
    row = {
        "date": datetime.date.today().isoformat(),
        "machine": machine,
        "device": last["device"],
        "compute": last["compute"],
        "threads": last["threads"],
        "torch": last["torch"],
        "transformers": one.get("transformers", ""),
        "shape": a.shape,
        "max_tokens": last["max_tokens"],
        "step": " ".join(a.set) or "optimizer.sequences=32",
        "rounds": a.rounds,
        "tokens_per_step": round(last["tokens"]),
        "sequences_per_step": round(last["sequences"]),
        "tokens_per_s": round(rate),
        "utilisation": round(median(ours, "utilisation"), 3),
        "matrix_gflop_per_s": round(median(ours, "matrix_rate") / 1e9),
        "waited": round(median(ours, "waited"), 4),
        "memory_mb": round(last["memory"] / 1e6) if last["memory"] else "",
        "peer_micro": a.micro if peers else "",
    }
    row["tokens_per_s_min"], row["tokens_per_s_max"] = lowest_and_highest(ours)
    for name in PEERS:
        runs = peers.get(name)
        theirs = median(runs, "tokens_per_second") if runs else None
        row[f"{name}_tokens_per_s"] = round(theirs) if runs else ""
        row[f"{name}_tokens_per_s_min"], row[f"{name}_tokens_per_s_max"] = lowest_and_highest(runs) if runs else ("", "")
        row[f"over_{name}"] = round(rate / theirs, 2) if runs else ""
    row["peer_padding"] = round(one["padding"], 3) if one else ""
    row["peer_memory_mb"] = round(one["memory"] / 1e6) if one.get("memory") else ""
    for name, value in row.items():
        print(f"{name:30} {value}")
    print("one step, each part waited for          ms      bound")
    for index, part in enumerate(last["parts"]):
        seconds, floor = (1e3 * statistics.median(run["parts"][index][key] for run in ours) for key in ("seconds", "floor"))
        print(f"  {part['name']:30} {seconds:10.1f} {floor:10.1f}")
    rows = list(csv.DictReader(a.csv.open())) if a.csv.exists() else []
    # Columns that earlier rows do not have are empty in them.
    columns = list(rows[0]) if rows else []
    columns += [name for name in row if name not in columns]
    with open(a.csv, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows([*rows, row])
    print(f"a row was added to {a.csv}")


if __name__ == "__main__":
    main()
