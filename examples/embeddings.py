"""Finds the nearest products of a product by cosine, in the Parquet file of `ebert embed`.

    ebert titles my-shop --out titles.jsonl
    ebert embed --model my-shop/runs/e-bert titles.jsonl --out titles.parquet
    python examples/embeddings.py titles.parquet B000TBZHNK

Needs duckdb. Each line has an id, the cosine and the title.
"""
import sys

import duckdb

NEAREST = """
    SELECT other.id, list_cosine_similarity(other.embedding, this.embedding) AS cosine, other.text
    FROM read_parquet($file) AS other, read_parquet($file) AS this
    WHERE this.id = $product AND other.id <> this.id
    ORDER BY cosine DESC, other.id
    LIMIT 5
"""

file, product = sys.argv[1:3]
for identifier, cosine, title in duckdb.execute(NEAREST, {"file": file, "product": product}).fetchall():
    print(f"{identifier}\t{cosine:.6f}\t{title}")
