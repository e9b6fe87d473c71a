from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypedDict, final

Scheme = Literal["word", "phrase", "span", "noun", "token", "mixed"]
Corpus = Literal["products", "reviews"]
Tensors = Literal["numpy", "torch"]
Model = Literal["bert", "roberta", "modernbert"]
# A numpy array, or a torch tensor with tensors="torch".
Array = Any

__version__: str
TAKEN_AS: list[str]
"""What the codes of a batch's `taken_as` stand for."""

class ShardsError(Exception):
    """The shards cannot be used. The message has the file, what was found, and a hint."""

class _EveryInput(TypedDict):
    input_ids: Array
    attention_mask: Array

class Inputs(_EveryInput, total=False):
    """What a model takes, `[sequences, longest]`, as int64."""

    token_type_ids: Array
    """Only for a BERT: other models have no token types."""

class Batch(Inputs, total=False):
    """Masked sequences, longest first. The last four items come with `spans=True`."""

    labels: Array
    """The tokens that were hidden, -100 elsewhere."""
    mode: str
    """What is masked: a scheme with two modes draws one for each batch."""
    documents: Array
    """The document of each sequence, `[sequences]`, uint64."""
    units: Array
    """The word or phrase that each selected token was taken with, int32. It is -1 where a token is not selected, or only
    fills the budget."""
    taken_as: Array
    """What each selected token was taken as, int8: an index of `TAKEN_AS`, -1 elsewhere."""

class PairBatch(TypedDict):
    """Product pairs: three sequences of each."""

    anchor: Inputs
    neighbor: Inputs
    negative: Inputs
    further_negatives: list[list[int]]
    """For each pair, the pairs whose neighbors are further negatives of its anchor. Empty if groups are single pairs."""

class Split(TypedDict):
    trained: int
    held_out: int

@final
class Shards:
    """A sealed folder of shards, or the output folder of `ebert shards` that has one.

    Opening compares every file with its hash. Texts that are held out are never in a batch, under any id.

    Args:
        folder: the folder.
        held_out: the ratio of texts that are held out (0.01).
        relations: the ratio of pairs that are used, by relation, such as `{"substitute": 0.5}`.
        model: what the batches are for. It decides how two texts stand in a sequence, and whether there are token types.
            If not given, the vocabulary decides: RoBERTa's special tokens, other byte-level tokens (ModernBERT), or
            WordPiece (BERT).

    Raises:
        ShardsError: the folder is not complete, or a file differs from its manifest.
    """

    def __new__(
        cls,
        folder: str | PathLike[str],
        *,
        held_out: float | None = None,
        relations: dict[str, float] | None = None,
        model: Model | None = None,
    ) -> Shards: ...
    def __len__(self) -> int:
        """The number of segments that are trained on, of products and reviews."""

    @property
    def folder(self) -> Path: ...
    @property
    def model(self) -> Model:
        """What the batches are for."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def max_length(self) -> int:
        """Tokens of the longest sequence, special tokens counted."""

    @property
    def tokens(self) -> list[str]:
        """The vocabulary, by id."""

    @property
    def special_ids(self) -> dict[str, int]:
        """The ids of `pad`, `cls`, `sep` and `mask`."""

    @property
    def manifest(self) -> dict[str, Any]:
        """`manifest.json`: what the shards were made from, with counts and options."""

    @property
    def counts(self) -> dict[str, Split]:
        """How many segments of `products` and `reviews`, and how many `pairs`, are trained on and held out."""

    def batches(
        self,
        scheme: Scheme = "phrase",
        *,
        tokens: int | None = None,
        sequences: int | None = None,
        corpora: Sequence[Corpus] | None = None,
        seed: int = 0,
        epoch: int = 0,
        epochs: int | None = 1,
        alpha: float | None = None,
        masking: dict[str, Any] | None = None,
        text_pairs: float | None = None,
        mix: int | None = None,
        spans: bool = False,
        tensors: Tensors = "numpy",
        rank: int = 0,
        world_size: int = 1,
        state: dict[str, int] | None = None,
    ) -> Batches:
        """Masked batches, made on a thread of their own without the GIL.

        Args:
            scheme: what is masked. "mixed" masks words with probability `alpha`, else phrases.
            tokens: the size of a batch, in tokens; special tokens count. A batch has about so many.
            sequences: the size of a batch, in sequences. The default is 32, if `tokens` is not given.
            corpora: whose segments; both if not given.
            seed: the key of order and masks, as `seed` of a recipe.
            epoch: the first epoch. Each has its own order and masks.
            epochs: how many epochs; None for no end.
            alpha: the probability of words in scheme "mixed" (0.75).
            masking: keys of a recipe's `[masking]`, such as `{"budget": 0.2}`.
            text_pairs: the fraction of segments that are cut into two texts (0).
            mix: row groups that are shuffled together (8).
            spans: also give mode, documents, units and taken_as.
            tensors: "torch" gives tensors that share the arrays' memory.
            rank: of `world_size` processes, the sequences of this one. All processes see the same batches.
            world_size: the number of processes.
            state: where to continue, from `BatchIterator.state_dict()`. Other arguments must be as before.

        Raises:
            ValueError: an argument has a value that cannot be.
        """

    def pairs(
        self,
        pairs: int = 32,
        *,
        group: int = 1,
        seed: int = 0,
        epoch: int = 0,
        epochs: int | None = 1,
        mix: int | None = None,
        tensors: Tensors = "numpy",
    ) -> Pairs:
        """Batches of product pairs, each with a negative. With a `group` above 1, neighbors of other pairs of a group are
        further negatives, except where the batch relates them."""

    def held_out(
        self,
        mode: Literal["word", "phrase"] = "word",
        *,
        segments: int = 1024,
        sequences: int = 32,
        spans: bool = False,
        tensors: Tensors = "numpy",
    ) -> list[Batch]:
        """Held-out segments with the masks that `ebert pretrain` measures on. They are the same for every seed and scheme."""

@final
class Batches:
    """Masked batches of some epochs. Each iteration starts from their beginning."""

    def __iter__(self) -> BatchIterator: ...
    @property
    def steps_per_epoch(self) -> int:
        """The number of batches of an epoch. Batches of so many `tokens` are counted by reading the shards."""

@final
class BatchIterator(Iterator[Batch]):
    """The batches of one iteration."""

    def __next__(self) -> Batch: ...
    def state_dict(self) -> dict[str, int]:
        """Where the iteration is after the last batch."""

@final
class Pairs:
    """Batches of pairs of some epochs. Each iteration starts from their beginning."""

    def __iter__(self) -> PairIterator: ...

@final
class PairIterator(Iterator[PairBatch]):
    """The batches of one iteration."""

    def __next__(self) -> PairBatch: ...
