"""Trains a BERT of transformers on shards, with its Trainer. Masks and order are those of `ebert pretrain`.

    python examples/transformers_trainer.py my-shop bert-base-uncased my-shop/runs/transformers 1000

Needs ebert's Python module, torch, transformers and accelerate.
"""
import sys

import ebert
from ebert.torch import BatchDataset
from transformers import BertForMaskedLM, Trainer, TrainingArguments

folder, start, out, steps = sys.argv[1:5]
shards = ebert.Shards(folder)
model = BertForMaskedLM.from_pretrained(start)
assert model.config.vocab_size >= shards.vocab_size, "the shards have another vocabulary"

trainer = Trainer(
    model,
    TrainingArguments(
        out,
        max_steps=int(steps),
        learning_rate=5e-5,
        # An item is a whole batch.
        per_device_train_batch_size=1,
        per_device_eval_batch_size=1,
        save_strategy="no",
        report_to="none",
    ),
    train_dataset=BatchDataset(shards, scheme="mixed", sequences=32, seed=0),
    eval_dataset=shards.held_out("phrase", tensors="torch"),
    data_collator=BatchDataset.collate,
)
before = trainer.evaluate()["eval_loss"]
trainer.train()
after = trainer.evaluate()["eval_loss"]
trainer.save_model(out)
print(f"held-out phrases: loss {before:.3f} before, {after:.3f} after")
