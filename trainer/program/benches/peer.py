"""What a user of Hugging Face `transformers` would write to post-train a BERT.

Trains on the batches that `ebert bench --export` wrote, and prints one JSON object. Logits are
computed at every token, as BertForMaskedLM does. On a GPU it uses bfloat16 by autocast and fused
AdamW, on a CPU float32. There are two layouts:

* padded (default): sequences in a random order, padded to the longest of each micro-batch of --micro
  sequences, or to --pad tokens, so that few shapes are compiled.
* packed (--packed N): the ids of all sequences in a row, cut into chunks of N tokens, as
  `group_texts` of run_mlm.py does by default. There is no padding. Tokens of a chunk also attend to
  those of other documents in it.
"""

import argparse
import json
import pathlib
import sys
import time

import torch
import transformers


def padded(batch, micro, to, device):
    """Micro-batches of a batch: ids, attention mask and labels, padded to the longest or to more."""
    ids, labels = torch.tensor(batch["ids"]), torch.full((len(batch["ids"]),), -100)
    labels[torch.tensor(batch["selected"])] = torch.tensor(batch["labels"])
    lengths = batch["lengths"]
    ids, labels = ids.split(lengths), labels.split(lengths)
    for first in range(0, len(lengths), micro):
        more = max(0, to - max(lengths[first : first + micro]))
        rectangle = lambda rows, value: torch.nn.utils.rnn.pad_sequence(rows[first : first + micro], True, value)
        pad = lambda rows, value: torch.nn.functional.pad(rectangle(rows, value), (0, more), value=value).to(device, non_blocking=True)
        mask = pad([torch.ones(n, dtype=torch.long) for n in lengths], 0)
        yield pad(ids, 0), mask, pad(labels, -100)


def packed(batches, length, micro, device):
    """Tokens, selected tokens and micro-batches of each step: chunks of all batches in a row.

    Each step takes the chunks that end within its batch, so that steps have as many tokens as those
    of the padded layout. What is left over at the end is dropped, as in `group_texts`.
    """
    ids = torch.tensor([token for batch in batches for token in batch["ids"]])
    labels = torch.full_like(ids, -100)
    ends = [0]
    for batch in batches:
        labels[torch.tensor(batch["selected"]) + ends[-1]] = torch.tensor(batch["labels"])
        ends.append(ends[-1] + len(batch["ids"]))
    cuts = [end // length for end in ends]
    chunks = [rows[: cuts[-1] * length].view(-1, length) for rows in (ids, labels)]
    for first, last in zip(cuts, cuts[1:]):
        # Parts of equal size, give or take one chunk: no shape is far from the others.
        count = max(1, round((last - first) / micro))
        ids, labels = (rows[first:last].tensor_split(count) for rows in chunks)
        move = lambda rows: rows.to(device, non_blocking=True)
        # No mask: nothing is padded, and attention without one is faster.
        parts = [(move(i), None, move(l)) for i, l in zip(ids, labels)]
        yield (last - first) * length, sum(int((part != -100).sum()) for part in labels), parts


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=pathlib.Path, help="what `ebert bench --export` wrote")
    options.add_argument("--warm", type=int, default=5)
    options.add_argument("--micro", type=int, default=32)
    options.add_argument("--pad", type=int, default=0)
    options.add_argument("--packed", type=int, default=0, metavar="N", help="length of the chunks; 0: the padded layout")
    options.add_argument("--compile", action="store_true")
    options.add_argument("--threads", type=int)
    a = options.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    config = transformers.BertConfig.from_json_file(a.folder / "config.json")
    config._attn_implementation = "sdpa"
    model = transformers.BertForMaskedLM(config).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    # Chunks have one length, so that only the size of a micro-batch may become dynamic.
    run = torch.compile(model, dynamic=None if a.packed else True) if a.compile else model
    batches = [json.loads(line) for line in open(a.folder / "batches.jsonl")]
    for batch in batches:
        shuffle(batch)
    if a.packed:
        steps = packed(batches, a.packed, a.micro, device)
    else:
        steps = ((len(b["ids"]), len(b["selected"]), padded(b, a.micro, a.pad, device)) for b in batches)
    tokens = positions = 0
    begun = time.perf_counter()
    for step, (filled, selected, parts) in enumerate(steps):
        if step == a.warm:
            if device == "cuda":
                torch.cuda.synchronize()
            since, tokens, positions = time.perf_counter(), 0, 0
        for ids, mask, labels in parts:
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                loss = run(input_ids=ids, attention_mask=mask, labels=labels, num_items_in_batch=selected).loss
            loss.backward()
            positions += ids.numel()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        tokens += filled
        # Compiling takes minutes, and again for shapes that are new.
        if a.compile:
            print(f"peer      step {step + 1} of {len(batches)} after {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - since
    told = {
        "tokens_per_second": tokens / seconds,
        "padding": 1 - tokens / positions,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "gpu": torch.cuda.get_device_name() if device == "cuda" else "",
        "memory": torch.cuda.max_memory_allocated() if device == "cuda" else None,
    }
    print(json.dumps(told))


def shuffle(batch):
    """Undoes the order by length that our batches have."""
    order = torch.randperm(len(batch["lengths"])).tolist()
    starts = torch.tensor([0, *batch["lengths"]]).cumsum(0).tolist()
    labels = dict(zip(batch["selected"], batch["labels"]))
    new = {"ids": [], "lengths": [], "selected": [], "labels": []}
    for sequence in order:
        for at in range(starts[sequence], starts[sequence + 1]):
            if at in labels:
                new["selected"].append(len(new["ids"]))
                new["labels"].append(labels[at])
            new["ids"].append(batch["ids"][at])
        new["lengths"].append(batch["lengths"][sequence])
    batch.update(new)


if __name__ == "__main__":
    main()
