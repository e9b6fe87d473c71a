"""Batches of ebert's shards as numpy arrays or torch tensors.

The masks and the order are those of `ebert pretrain`, because the same code makes them:

    import ebert

    shards = ebert.Shards("my-shop")
    for batch in shards.batches(scheme="phrase", tokens=4096, seed=0):
        batch["input_ids"], batch["labels"], batch["attention_mask"], batch["token_type_ids"]

`ebert.torch.BatchDataset` gives them to a `DataLoader` or to the `Trainer` of transformers.
"""
from ._ebert import (
    TAKEN_AS,
    Batches,
    BatchIterator,
    PairIterator,
    Pairs,
    Shards,
    ShardsError,
    __version__,
)

__all__ = [
    "TAKEN_AS",
    "Batches",
    "BatchIterator",
    "PairIterator",
    "Pairs",
    "Shards",
    "ShardsError",
    "__version__",
]
