"""Prints what `ebert fill-mask` prints, with transformers: the most probable entries for [MASK].

    python examples/fill_mask.py my-shop/runs/e-bert/model "stainless steel water [MASK]"

Needs torch and transformers. Each line has the number of the mask, an entry and its probability.
"""
import sys

import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

TOP = 5

folder, text = sys.argv[1:3]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForMaskedLM.from_pretrained(folder).eval()
inputs = tokenizer(text, return_tensors="pt")
with torch.no_grad():
    logits = model(**inputs).logits[0]
masks = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero().flatten().tolist()
for number, place in enumerate(masks, start=1):
    best = logits[place].softmax(-1).topk(TOP)
    for entry, probability in zip(tokenizer.convert_ids_to_tokens(best.indices.tolist()), best.values.tolist()):
        print(number, entry, f"{probability:.6f}")
