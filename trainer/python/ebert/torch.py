"""Batches for PyTorch's `DataLoader` and the `Trainer` of transformers."""
import itertools

from torch.utils.data import IterableDataset, get_worker_info

from . import Shards

__all__ = ["BatchDataset"]


class BatchDataset(IterableDataset):
    """An iterable dataset whose items are whole batches of torch tensors.

    Give it to a `DataLoader` with `batch_size=None`. For the `Trainer`, set
    `per_device_train_batch_size=1` and `data_collator=BatchDataset.collate`.

    Options are those of `Shards.batches`. Workers take turns, so their number changes nothing.
    """

    def __init__(self, shards, **options):
        self.shards = shards if isinstance(shards, Shards) else Shards(shards)
        self.options = {**options, "tensors": "torch"}

    def set_epoch(self, epoch):
        """Chooses the epoch of the next iteration. `Trainer` calls it."""
        # A state is of one epoch, which it resumes.
        if epoch != self.options.get("epoch", 0):
            self.options.pop("state", None)
        self.options["epoch"] = epoch

    @property
    def steps_per_epoch(self):
        """The number of batches of an epoch."""
        return self.shards.batches(**self.options).steps_per_epoch

    def __iter__(self):
        batches = iter(self.shards.batches(**self.options))
        worker = get_worker_info()
        return batches if worker is None else itertools.islice(batches, worker.id, None, worker.num_workers)

    @staticmethod
    def collate(batches):
        """A collator for loaders that collect items: each item is a batch already."""
        (batch,) = batches
        return batch
