"""The most probable entries for [MASK], of one model or of several: before and after post-training.

    python examples/fill_mask.py "anti [MASK] cream" bert-base-uncased my-shop/runs/e-bert/model

Needs torch and transformers. Each line has the number of the mask, and an entry and its probability
for each model. They are those of `ebert fill-mask`.
"""
import sys

import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

TOP = 5


def fill(name, text):
    """The best entries for each mask of a text, the most probable first."""
    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModelForMaskedLM.from_pretrained(name).eval()
    inputs = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits[0]
    masks = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten().tolist()
    for number, place in enumerate(masks, start=1):
        best = logits[place].softmax(-1).topk(TOP)
        for entry, probability in zip(tokenizer.convert_ids_to_tokens(best.indices.tolist()), best.values.tolist()):
            yield number, f"{entry} {probability:.6f}"


text, *models = sys.argv[1:]
for entries in zip(*(fill(model, text) for model in models)):
    print(entries[0][0], *(entry for _, entry in entries), sep="\t")
