"""Loads a checkpoint with `transformers`, and compares its scores for a sentence with ours.

    python logits.py FOLDER path/to/the/example/logits ["a sentence with [MASK]"]

Needs torch and transformers. Exit status 1 when the largest difference is above 1e-4.
"""
import subprocess
import sys

import numpy
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

folder, program = sys.argv[1:3]
sentence = sys.argv[3] if len(sys.argv) > 3 else "this stainless steel [MASK] is easy to clean and works great."
tokenizer = AutoTokenizer.from_pretrained(folder)
model, info = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
model.eval()
problems = {key: value for key, value in info.items() if value}
if problems:
    sys.exit(f"not loaded whole: {problems}")
inputs = tokenizer(sentence, return_tensors="pt")
ids = inputs["input_ids"][0].tolist()
print(type(tokenizer).__name__, tokenizer.convert_ids_to_tokens(ids))
with torch.no_grad():
    theirs = model(**inputs).logits[0].numpy()
ours = subprocess.run([program, folder, *map(str, ids)], check=True, stdout=subprocess.PIPE).stdout
ours = numpy.frombuffer(ours, dtype="<f4").reshape(theirs.shape)
if tokenizer.mask_token_id in ids:
    at = ids.index(tokenizer.mask_token_id)
    for name, scores in ("transformers", theirs[at]), ("ours", ours[at]):
        print(f"{name:13}", tokenizer.convert_ids_to_tokens((-scores).argsort()[:5].tolist()))
difference = abs(ours - theirs).max()
print(f"largest difference of {theirs.size} logits: {difference:.2e} (largest logit {abs(theirs).max():.2f})")
sys.exit(int(difference > 1e-4))
