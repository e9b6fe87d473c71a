"""Finds the nearest products of a product by cosine, in the Parquet file of `ebert embed`.

    ebert titles my-shop --out titles.jsonl
    ebert embed --model my-shop/runs/e-bert titles.jsonl --out titles.parquet
    python examples/embeddings.py titles.parquet B000TBZHNK
    python examples/embeddings.py titles.parquet B000TBZHNK my-shop

With a shop, only products of the same category are found: candidates for substitutes. Those that the
shop itself calls substitutes are marked. Needs duckdb. Each line has an id, the cosine and the title.
"""
import sys

import duckdb

NEAREST = """
    SELECT other.id, list_cosine_similarity(other.embedding, this.embedding) AS cosine, other.text, {known} AS known
    FROM read_parquet($file) AS other, read_parquet($file) AS this
    WHERE this.id = $product AND other.id <> this.id AND {allowed}
    ORDER BY cosine DESC, other.id
    LIMIT 5
"""
ALLOWED = """other.id IN (
        SELECT b.product_id FROM read_parquet($products) AS a JOIN read_parquet($products) AS b
        ON a.categories = b.categories WHERE a.product_id = $product)"""
KNOWN = """EXISTS (FROM read_parquet($graph) WHERE relation = 'substitute'
        AND product_a = least(this.id, other.id) AND product_b = greatest(this.id, other.id))"""

file, product, *shop = sys.argv[1:]
values, query = {"file": file, "product": product}, NEAREST.format(known="false", allowed="true")
if shop:
    values |= {"products": f"{shop[0]}/corpus/products-*.parquet", "graph": f"{shop[0]}/graph/associations.parquet"}
    query = NEAREST.format(known=KNOWN, allowed=ALLOWED)
for identifier, cosine, title, known in duckdb.execute(query, values).fetchall():
    print(identifier, f"{cosine:.6f}", title, *["substitute"] * known, sep="\t")
