#!/usr/bin/env python3
"""How long does each step take on a corpus of the paper's size, and how much memory?

Makes a raw dump of 5.4 M products, 9.6 M reviews and 3.5 M associations, with 3.7 GB of text (real sentences in a new order; categories are
frequent pairs of words), and runs each step of `ebert shards` as a process of its own. `--scale 0.1` makes a tenth of it.

Sentences are those of a folder of real data (EBERT_SHARED, or ../shared), or else of the sample, where mining finds little.
"""
import argparse
import collections
import functools
import gzip
import json
import multiprocessing
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

PRODUCTS, REVIEWS, IN_GRAPH = 5_400_000, 9_600_000, 2_100_000
PARTS = 6
quoted = json.encoder.encode_basestring


def text_of(shared):
    return shared / "data/phrases/amazon-text.txt.gz"


def read_sentences(shared):
    if text_of(shared).exists():
        texts = gzip.open(text_of(shared), "rt", encoding="utf-8").read().split("\n")
    else:
        with gzip.open("data/sample/Sample_5.json.gz", "rt", encoding="utf-8") as lines:
            texts = [json.loads(line).get("reviewText") or "" for line in lines]
    return [s for text in texts for s in re.split(r"(?<=[.!?])\s+", text) if 8 <= len(s) <= 400]


def frequent_pairs(sentences):
    """Names for categories, such as `steel blade`: pairs of words of five letters or more."""
    counts = collections.Counter()
    for sentence in sentences[::10]:
        words = sentence.lower().split()
        counts.update(f"{a} {b}" for a, b in zip(words, words[1:]) if len(a) > 4 and len(b) > 4 and (a + b).isalpha())
    return [pair for pair, _ in counts.most_common(4000)]


def product_id(number):
    return f"B{number:09}"


def products(part, scale, sentences):
    draw = random.Random(part).random
    titles = [s for s in sentences if 20 <= len(s) <= 70]
    names = frequent_pairs(sentences)
    in_graph = int(IN_GRAPH * scale)
    for number in range(part, int(PRODUCTS * scale), PARTS):
        pick = lambda some: some[int(draw() * len(some))]
        text = pick(sentences) + (" " + pick(sentences) if draw() < 0.6 else "")
        bought, viewed = [], []
        if number < in_graph:
            for _ in range(1 + (draw() < 0.45) + (draw() < 0.22)):
                # A product with a small number is named more often.
                (bought if draw() < 0.5 else viewed).append(product_id(int(draw() * draw() * in_graph)))
        yield (
            f'{{"category": [{quoted(pick(names))}, {quoted(pick(names))}], "description": [{quoted(text)}], "title": {quoted(pick(titles))}, '
            f'"also_buy": {json.dumps(bought)}, "also_view": {json.dumps(viewed)}, "brand": "Brand{number % 5000}", "asin": "{product_id(number)}"}}\n'
        )


def reviews(part, scale, sentences):
    chance = random.Random(100 + part)
    draw = chance.random
    for number in range(part, int(REVIEWS * scale), PARTS):
        length = max(1, int(chance.lognormvariate(0.86, 0.8)))
        text = " ".join(sentences[int(draw() * len(sentences))] for _ in range(length))
        yield (
            f'{{"overall": {1 + int(draw() * 5)}.0, "verified": true, "reviewTime": "09 1, 2016", "reviewerID": "A{number:012}", '
            f'"asin": "{product_id(int(draw() * PRODUCTS * scale))}", "reviewText": {quoted(text)}, "summary": "", "unixReviewTime": {1472688000 + number}}}\n'
        )


def write_part(job, folder, scale, shared):
    name, part = job
    lines = {"meta": products, "reviews": reviews}[name](part, scale, read_sentences(shared))
    with gzip.GzipFile(folder / f"{name}_{part}.json.gz", "wb", 1, mtime=0) as out:
        for line in lines:
            out.write(line.encode())


def make_dump(work, scale, shared):
    """The folder of a dump of this size and these sentences; made once."""
    raw = work / f"{'real' if text_of(shared).exists() else 'sample'}-{scale}"
    if not (work / f"{raw.name}.made").exists():
        print(f"making a dump in {raw}", flush=True)
        shutil.rmtree(raw, ignore_errors=True)
        raw.mkdir(parents=True)
        jobs = [(name, part) for name in ("meta", "reviews") for part in range(PARTS)]
        with multiprocessing.Pool() as workers:
            workers.map(functools.partial(write_part, folder=raw, scale=scale, shared=shared), jobs, chunksize=1)
        (work / f"{raw.name}.made").touch()
    return raw


def run(command):
    """What a process said, its wall and CPU seconds, and its peak memory in MB."""
    begun = time.monotonic()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command} failed")
    return said, time.monotonic() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--ebert", default="target/release/ebert")
    options.add_argument("--work", default="target/bench/paper", type=pathlib.Path)
    options.add_argument("--tokenizer", default="data/sample/tokenizer.json")
    options.add_argument("--scale", default=1.0, type=float)
    options.add_argument("--nouns", default="on", choices=["on", "off"])
    a = options.parse_args()
    raw = make_dump(a.work, a.scale, pathlib.Path(os.environ.get("EBERT_SHARED", "../shared")))
    out = a.work / "out"
    shutil.rmtree(out, ignore_errors=True)
    tokenizer, nouns = ["--tokenizer", a.tokenizer], ["--nouns", a.nouns]
    steps = {
        "corpus": ["--corpus", raw, *tokenizer],
        "pool": tokenizer,
        "graph": [],
        "encode": [*tokenizer, *nouns],
        "pairs": [*tokenizer, *nouns],
        "seal": [*tokenizer, *nouns],
    }
    print(f"{'step':8} {'wall s':>8} {'CPU s':>8} {'MB':>7}")
    for step, options in steps.items():
        said, wall, cpu, peak = run([a.ebert, step, *options, "--out", out, "--log", "json"])
        events = [json.loads(line) for line in said.splitlines()]
        numbers = [event for event in events if event["event"] == "step"]
        counts = ("products", "reviews", "phrases", "associations", "files", "tokens", "pairs")
        holds = " · ".join(f"{name} {event[name]:,}" for event in numbers for name in counts if event.get(name))
        print(f"{step:8} {wall:8.1f} {cpu:8.1f} {peak:7.0f}   {holds}", flush=True)
    of = lambda folder, names="*": sum(file.stat().st_size for file in folder.glob(names)) / 1e9
    pairs = of(out / "shards", "pairs-*")
    print(f"on disk: raw {of(raw):.1f} GB, corpus {of(out / 'corpus'):.1f}, segments {of(out / 'shards') - pairs:.1f}, pairs {pairs:.1f}")


if __name__ == "__main__":
    main()
