"""Counts over shards with SQL: frequent phrases, phrases that products share, brands bought together.

    python examples/shards.py my-shop

Needs duckdb. `docs/files.md` lists all columns.
"""
import sys

import duckdb

QUESTIONS = {
    "frequent phrases": """
        SELECT phrase, count(*) AS occurrences, round(any_value(pool.score), 3) AS score
        FROM (SELECT unnest(phrases) AS span FROM read_parquet($shop || '/shards/products-*.parquet'))
        JOIN read_parquet($shop || '/pool/phrases.parquet') AS pool ON pool.phrase_id = span.phrase_id
        GROUP BY phrase ORDER BY occurrences DESC, phrase LIMIT 10
    """,
    "phrases of the same products": """
        WITH found AS (
            SELECT DISTINCT product_id, unnest(phrases).phrase_id AS id
            FROM read_parquet($shop || '/shards/products-*.parquet')
        ), named AS (FROM found JOIN read_parquet($shop || '/pool/phrases.parquet') ON phrase_id = id)
        SELECT a.phrase, b.phrase AS other, count(*) AS products
        FROM named AS a JOIN named AS b ON a.product_id = b.product_id AND a.phrase < b.phrase
        GROUP BY ALL ORDER BY products DESC, a.phrase, other LIMIT 10
    """,
    "brands bought together": """
        WITH catalog AS (SELECT product_id, brand FROM read_parquet($shop || '/corpus/products-*.parquet'))
        SELECT least(a.brand, b.brand) AS brand, greatest(a.brand, b.brand) AS other, count(*) AS pairs
        FROM read_parquet($shop || '/graph/associations.parquet') AS pair
        JOIN catalog AS a ON a.product_id = product_a JOIN catalog AS b ON b.product_id = product_b
        WHERE relation = 'complement' AND a.brand <> b.brand
        GROUP BY ALL ORDER BY pairs DESC, brand, other LIMIT 10
    """,
}

for question, query in QUESTIONS.items():
    print(question, *duckdb.execute(query, {"shop": sys.argv[1]}).fetchall(), sep="\n    ")
