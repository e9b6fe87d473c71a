#!/usr/bin/env python3
"""How fast is the whole line, from raw gz files to sealed shards, compared with what people use?

First it measures the parts in one process (parts/main.rs): WordPiece vs. `tokenizers`, phrases vs. a search over bytes.
Then it runs `ebert shards` as whole processes over two corpora of different sizes, alternating, on one core and on two.
In the same rounds, a Python peer reads a slice of the same records. Rates are marginal, (large - small) / (time of
large - time of small). This leaves out what costs the same for any corpus: importing the pool and building the
automaton. All numbers are medians of the rounds.

The corpora are created once: from a folder of real data (EBERT_SHARED, or ../shared), which also has the peer, or from
the sample, without a peer. One row is appended to the CSV.
"""
import argparse
import collections
import csv
import datetime
import gzip
import json
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import time

PEER_RECORDS = 8000
PEER_PACKAGES = ["tokenizers==0.23.3", "spacy==3.8.18", "pyarrow==26.0.1"]


def grow_sample(folder, megabytes):
    """Reviews in the schema of 2018, whose text is sentences of the sample in a new order."""
    draws = random.Random(0)
    with gzip.open("data/sample/Sample_5.json.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line).get("reviewText") or "" for line in lines]
    sentences = [s for text in texts for s in re.split(r"(?<=[.!?])\s+", text) if len(s) > 8]
    written = number = 0
    with gzip.GzipFile(folder / "reviews.json.gz", "wb", 6, mtime=0) as out:
        while written < megabytes * 1e6:
            text = " ".join(draws.choice(sentences) for _ in range(draws.randint(2, 9)))
            record = {"asin": f"B{number % 50021:09}", "reviewerID": f"A{number}", "overall": 5.0, "reviewText": text}
            record["unixReviewTime"] = 1472688000 + number
            out.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
            written += len(text.encode())
            number += 1
    # Frequent pairs of words stand in for a mined pool.
    pairs = collections.Counter()
    for sentence in sentences:
        words = re.findall(r"[a-z]+", sentence.lower())
        pairs.update(zip(words, words[1:]))
    lines = [f"{draws.uniform(0.5, 1):.4f}\t{a} {b}\n" for (a, b), count in sorted(pairs.items()) if count > 8]
    (folder / "pool.txt").write_text("".join(lines))


def corpus(work, shared, megabytes, phrases):
    """A folder with `raw/` and a pool; made once."""
    folder = work / f"{'real' if shared else 'sample'}-{megabytes}"
    if not (folder / "made").exists():
        print(f"making a corpus of {megabytes} MB in {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if shared:
            maker = [sys.executable, shared / "bench/make_corpus.py", folder, "--mb", str(megabytes), "--phrases", str(phrases)]
            subprocess.run(maker, check=True)
        else:
            grow_sample(folder, megabytes)
        (folder / "raw").mkdir()
        (folder / "reviews.json.gz").rename(folder / "raw/reviews.json.gz")
        (folder / "made").touch()
    return folder


def reviews_of(work, reviews, name, files, pool):
    """A folder with `raw/`, one gz file of the given files, and a pool."""
    folder = work / f"{reviews.name}-{name}"
    (folder / "raw").mkdir(parents=True, exist_ok=True)
    with open(folder / "raw/reviews.json.gz", "wb") as out:
        for file in files:
            out.write(file.read_bytes())
    shutil.copyfile(pool, folder / "pool.txt")
    return folder


def measure(command, cores):
    """CPU seconds, wall seconds and peak MB of a process and its children, and what it printed."""
    pinned = ["taskset", "-c", ",".join(map(str, range(cores))), *map(str, command)]
    begun = time.monotonic()
    process = subprocess.Popen(pinned, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{pinned} failed:\n{said}{process.stderr.read()}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - begun, usage.ru_maxrss / 1024, said


def line(program, folder, pool, tokenizer, out, cores, nouns="off"):
    shutil.rmtree(out, ignore_errors=True)
    command = [program, "shards", "--corpus", folder / "raw", "--pool", pool, "--tokenizer", tokenizer, "--out", out]
    cpu, wall, peak, said = measure([*command, "--threads", cores, "--nouns", nouns, "--log", "json"], cores)
    events = [json.loads(text) for text in said.splitlines()]
    steps = {event["step"]: event["seconds"] for event in events if event.get("event") == "step"}
    text = json.loads((out / "corpus/manifest.json").read_text())["counts"]["text_bytes"] / 1e6
    manifest = json.loads((out / "shards/manifest.json").read_text())
    stored = sum(file["bytes"] for file in manifest["files"] if not file["name"].startswith("pairs-"))
    counts = manifest["counts"]
    return {"cpu": cpu, "wall": wall, "peak": peak, "text": text, "steps": steps, "stored": stored, "counts": counts}


def peer(work, shared, folder, pool, tokenizer):
    """MB of text a CPU second of the Python peer, its matcher's construction not counted."""
    python = work / "venv/bin/python"
    if not (work / "venv/ready").exists():
        subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEER_PACKAGES], check=True)
        (work / "venv/ready").touch()
    program = [python, shared / "bench/peer_pipeline.py", folder / "raw/reviews.json.gz", pool, tokenizer, work / "peer.parquet"]
    said = measure([*program, "--records", PEER_RECORDS], 1)[3]
    return float(re.search(r"whole line ([0-9.]+) MB/s", said)[1])


def measure_parts(program, folder, pool, tokenizer, rounds):
    """Rates of the parts in MB of text a CPU second, and what the automaton takes."""
    said = measure([program, folder / "raw/reviews.json.gz", pool, tokenizer, rounds], 1)[3]
    parts = {name: round(value, 2) for name, value in json.loads(said).items()}
    rate = lambda name: parts[f"{name}_mb_per_s"]
    parts["over_tokenizers_0_23"] = round(rate("wordpiece") / rate("tokenizers_0_23"), 1)
    parts["over_tokenizers_1_0_rc"] = round(rate("wordpiece") / rate("tokenizers_1_0_rc"), 1)
    parts["over_aho_corasick"] = round(rate("phrases") / rate("aho_corasick_bytes"), 1)
    own = ["inflate", "records", "clean", "wordpiece", "phrases", "segments_and_parquet"]
    parts["parts_together_mb_per_s"] = round(1 / sum(1 / rate(name) for name in own), 1)
    for name, value in parts.items():
        print(f"{name:30} {value}", flush=True)
    return parts


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--ebert", default="target/release/ebert")
    options.add_argument("--parts", default="target/release/parts")
    options.add_argument("--work", default="target/bench", type=pathlib.Path)
    options.add_argument("--csv", default="docs/bench/pipeline.csv", type=pathlib.Path)
    options.add_argument("--small", default=32, type=int, help="MB of text")
    options.add_argument("--large", default=128, type=int, help="MB of text")
    options.add_argument("--phrases", default=536332, type=int)
    options.add_argument("--reviews", type=pathlib.Path, help="measure these files of reviews instead: all, and a third of them")
    options.add_argument("--rounds", default=3, type=int)
    options.add_argument("--no-peer", action="store_true")
    a = options.parse_args()
    shared = pathlib.Path(os.environ.get("EBERT_SHARED", "../shared"))
    if not (shared / "bench/make_corpus.py").exists():
        print(f"no folder of real data in {shared}: the corpora are grown from the sample, and no peer is measured")
        shared = None
    a.work.mkdir(parents=True, exist_ok=True)
    small, large = (corpus(a.work, shared, size, a.phrases) for size in (a.small, a.large))
    if a.reviews:
        files = sorted(a.reviews.glob("*.gz"))
        pool = large / "pool.txt"
        small = reviews_of(a.work, a.reviews, "small", files[: (len(files) + 2) // 3], pool)
        large = reviews_of(a.work, a.reviews, "large", files, pool)
    pool = large / "pool.txt"
    tokenizer = shared / "data/vocab/bert-base-uncased-vocab.txt" if shared else pathlib.Path("data/sample/tokenizer.json")

    parts = measure_parts(a.parts, large, pool, tokenizer, a.rounds)
    runs, peers = {}, []
    for number in range(a.rounds):
        for cores in (1, 2):
            for size, folder in (("small", small), ("large", large)):
                run = line(a.ebert, folder, pool, tokenizer, a.work / "out", cores)
                runs.setdefault((size, cores), []).append(run)
                print(f"round {number + 1}  {cores} core(s)  {run['text']:7.1f} MB  {run['cpu']:6.2f} CPU s  {run['wall']:6.2f} s", flush=True)
        for size, folder in (("small", small), ("large", large)):
            run = line(a.ebert, folder, pool, tokenizer, a.work / "out", 1, "on")
            runs.setdefault((size, "nouns"), []).append(run)
            print(f"round {number + 1}  noun phrases  {run['text']:7.1f} MB  {run['cpu']:6.2f} CPU s  {run['wall']:6.2f} s", flush=True)
        if shared and not a.no_peer:
            peers.append(peer(a.work, shared, large, pool, tokenizer))
            print(f"round {number + 1}  peer       {peers[-1]:.3f} MB a CPU second", flush=True)

    median = lambda size, cores, of: statistics.median(of(run) for run in runs[size, cores])
    text = [runs[size, 1][0]["text"] for size in ("small", "large")]
    marginal = lambda cores, of: (text[1] - text[0]) / (median("large", cores, of) - median("small", cores, of))
    rate = marginal(1, lambda run: run["cpu"])
    with_nouns = marginal("nouns", lambda run: run["cpu"])
    walls = [marginal(cores, lambda run: run["wall"]) for cores in (1, 2)]
    counts = runs["large", 1][0]["counts"]
    theirs = statistics.median(peers) if peers else None
    row = {
        "date": datetime.date.today().isoformat(),
        "machine": re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())[1],
        "version": subprocess.run([a.ebert, "--version"], capture_output=True, text=True).stdout.split()[-1],
        "corpus": a.reviews.name if a.reviews else "real" if shared else "sample",
        "small_mb": round(text[0], 1),
        "large_mb": round(text[1], 1),
        "rounds": a.rounds,
        "mb_per_cpu_s": round(rate, 1),
        "with_nouns_mb_per_cpu_s": round(with_nouns, 1),
        "peak_mb_nouns": round(median("large", "nouns", lambda run: run["peak"])),
        "fixed_cpu_s": round(median("small", 1, lambda run: run["cpu"]) - text[0] / rate, 2),
        "corpus_step_mb_per_s": round(marginal(1, lambda run: run["steps"]["corpus"]), 1),
        "shards_step_mb_per_s": round(marginal(1, lambda run: run["steps"]["shards"]), 1),
        "two_cores_over_one": round(walls[1] / walls[0], 2),
        "peak_mb_small": round(median("small", 1, lambda run: run["peak"])),
        "peak_mb_large": round(median("large", 1, lambda run: run["peak"])),
        "bytes_per_token": round(runs["large", 1][0]["stored"] / counts["tokens"], 3),
        "spans_per_token": round(counts["phrase_spans"] / counts["tokens"], 3),
        "peer_mb_per_cpu_s": round(theirs, 3) if theirs else "",
        "over_peer": round(rate / theirs, 1) if theirs else "",
        **parts,
    }
    for name, value in row.items():
        print(f"{name:30} {value}")
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
