"""Aspect sentiment with `transformers`, fine-tuned as `ebert finetune --task asc` does, for comparison: same model, files, options, seeds.

    python finetune.py MODEL TRAIN.xml TEST.xml [--limit N] [--epochs 3] [--learning-rate 2e-5] [--seeds 0 1 2]

Prints accuracy and macro-F1 of each seed. Needs torch, transformers and scikit-learn.
"""

import argparse
import random
import xml.etree.ElementTree as tree

import torch
import transformers
from sklearn.metrics import accuracy_score, f1_score

CLASSES = ["negative", "neutral", "positive"]


def read(path):
    """(sentence, aspect, class) of each aspect that is not in conflict."""
    for sentence in tree.parse(path).getroot().iter("sentence"):
        for aspect in sentence.iter("aspectTerm"):
            if aspect.get("polarity") in CLASSES:
                yield sentence.find("text").text, aspect.get("term"), CLASSES.index(aspect.get("polarity"))


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("model")
    options.add_argument("train")
    options.add_argument("test")
    options.add_argument("--limit", type=int)
    options.add_argument("--epochs", type=int, default=3)
    options.add_argument("--learning-rate", type=float, default=2e-5)
    options.add_argument("--sequences", type=int, default=16)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--threads", type=int)
    a = options.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    tokenizer = transformers.AutoTokenizer.from_pretrained(a.model)
    test = list(read(a.test))
    for seed in a.seeds:
        transformers.set_seed(seed)
        train = list(read(a.train))
        # One part in eight is kept for validation, which nothing here looks at.
        random.Random(seed).shuffle(train)
        train = train[: a.limit or len(train) * 7 // 8]
        model = transformers.AutoModelForSequenceClassification.from_pretrained(a.model, num_labels=3)
        plain = lambda name: name.endswith("bias") or "LayerNorm" in name
        groups = [{"params": [p for n, p in model.named_parameters() if plain(n) == bare], "weight_decay": 0.0 if bare else 0.01} for bare in (True, False)]
        optimizer = torch.optim.AdamW(groups, lr=a.learning_rate)
        steps = a.epochs * -(-len(train) // a.sequences)
        schedule = transformers.get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
        encode = lambda rows: tokenizer([r[0] for r in rows], [r[1] for r in rows], padding=True, truncation=True, max_length=384, return_tensors="pt")
        for epoch in range(a.epochs):
            model.train()
            random.Random(1000 * seed + epoch).shuffle(train)
            for first in range(0, len(train), a.sequences):
                rows = train[first : first + a.sequences]
                model(**encode(rows), labels=torch.tensor([r[2] for r in rows])).loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
        model.eval()
        found = []
        with torch.no_grad():
            for first in range(0, len(test), 64):
                found += model(**encode(test[first : first + 64])).logits.argmax(1).tolist()
        gold = [row[2] for row in test]
        print(f"seed {seed}  accuracy {accuracy_score(gold, found):.4f}  macro-F1 {f1_score(gold, found, average='macro', zero_division=0):.4f}", flush=True)


if __name__ == "__main__":
    main()
