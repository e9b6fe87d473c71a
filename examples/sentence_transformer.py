"""Makes a folder for sentence-transformers out of a model, with the pooling of `ebert embed`.

    python examples/sentence_transformer.py my-shop/runs/e-bert/model my-shop-sentences

Needs no package. Load it with `SentenceTransformer("my-shop-sentences")`. Its mean also covers
[CLS] and [SEP], which `ebert embed` leaves out, so cosines differ a little.
"""
import json
import pathlib
import shutil
import sys

model, out = map(pathlib.Path, sys.argv[1:3])
config = json.loads((model / "config.json").read_text())
shutil.copytree(model, out)


def write(name, value):
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text(json.dumps(value, indent=2) + "\n")


kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
modules = [
    {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
    for number, (path, kind) in enumerate(kinds)
]
write("modules.json", modules)
write("sentence_bert_config.json", {"max_seq_length": min(256, config["max_position_embeddings"])})
write("1_Pooling/config.json", {"word_embedding_dimension": config["hidden_size"], "pooling_mode_mean_tokens": True})
(out / "2_Normalize").mkdir()
print(f"from sentence_transformers import SentenceTransformer\nmodel = SentenceTransformer({str(out)!r})")
