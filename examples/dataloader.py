"""Batches for PyTorch from the shards of `ebert shards`: [CLS] segment [SEP], padded, no masks yet.

    python examples/dataloader.py my-shop/shards

Needs torch and polars. Prints the shapes of the first batches.
"""
import glob
import json
import sys

import polars
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info


class Segments(IterableDataset):
    """The segments of products and reviews, one file at a time. Each worker reads its own files."""

    def __init__(self, folder):
        self.files = sorted(glob.glob(f"{folder}/products-*.parquet") + glob.glob(f"{folder}/reviews-*.parquet"))
        vocabulary = json.load(open(f"{folder}/tokenizer.json"))["model"]["vocab"]
        self.cls, self.sep, self.pad = (vocabulary[token] for token in ("[CLS]", "[SEP]", "[PAD]"))

    def __iter__(self):
        worker = get_worker_info()
        for file in self.files[worker.id :: worker.num_workers] if worker else self.files:
            for ids in polars.read_parquet(file, columns=["input_ids"])["input_ids"]:
                yield torch.tensor([self.cls, *ids, self.sep])

    def collate(self, segments):
        ids = torch.nn.utils.rnn.pad_sequence(segments, batch_first=True, padding_value=self.pad)
        return {"input_ids": ids, "attention_mask": (ids != self.pad).long()}


segments = Segments(sys.argv[1])
batches = DataLoader(segments, batch_size=32, collate_fn=segments.collate, num_workers=0)
for number, batch in zip(range(3), batches):
    print(number, tuple(batch["input_ids"].shape), int(batch["attention_mask"].sum()), "tokens")
