"""What post-training changes: masked phrases and similar products, before and after, as text and as a page.

    make demo                       # on the invented shop of data/sample
    make demo CORPUS=my-data        # on your own products and reviews

Or without make, in a Python with duckdb and xxhash, and with the programs on the PATH:

    python examples/demo/demo.py --start bert-folder --corpus my-data --out demo

Texts and products are drawn from held-out documents in the order of their ids, which are hashes. So
nobody has chosen them. The counts are over all that were drawn, and the lists show the first ones.
"""
import argparse
import html
import json
import pathlib
import subprocess
import sys
import time

import duckdb
import xxhash

PHRASES, PRODUCTS, NEAREST, TOP = 200, 100, 5, 10
SHOWN_PHRASES, SHOWN_PRODUCTS = 12, 4
WINDOW = 30  # tokens of a text on each side of a masked phrase
HELD_OUT = 0.03
# Short runs: docs/training.md. The rate is that of docs/results/claims.md for a model of this size.
SETTINGS = {
    "scheme": "mixed",
    "dropout": 0,
    "data.held_out": HELD_OUT,
    "optimizer.learning_rate": 5e-4,
    "optimizer.tokens": 4096,
    "optimizer.warmup": 0.05,
    "measure.every": 0,
    "measure.segments": 512,
    "checkpoint.every": 100,
    "checkpoint.keep": 1,
}
MODELS = ("before", "after")


def main():
    options = read_options()
    out, started = options.out, time.monotonic()
    shop, run = out / "shop", out / "run"
    ebert = [options.ebert]
    tokenizer = next(file for name in ("tokenizer.json", "vocab.txt") if (file := options.start / name).is_file())
    call(ebert, "shards", "--corpus", options.corpus, "--tokenizer", tokenizer, "--out", shop)
    settings = SETTINGS | {"stage.0.steps": options.steps, "stage.1.steps": options.steps // 4}
    chosen = [f"--set={key}={value}" for key, value in settings.items()]
    call(ebert, "pretrain", "--shards", shop, "--recipe", "e-bert", "--init", options.start, "--out", run, *chosen)
    call(ebert, "titles", shop, "--out", out / "titles.jsonl")
    models = dict(zip(MODELS, (options.start, run / "model")))
    found = Found(shop)
    phrases = masked_phrases(ebert, models, found.phrases())
    products = similar_products(ebert, models, out / "titles.jsonl", found)
    rows = measured(run)
    show(rows, phrases, products)
    page = out / "demo.html"
    page.write_text(render(options, rows, phrases, products))
    print(f"page      {page}   {time.monotonic() - started:.0f} s")


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ebert", default="ebert", help="the program")
    parser.add_argument("--start", type=pathlib.Path, required=True, help="folder of the start model")
    parser.add_argument("--corpus", type=pathlib.Path, required=True, help="folder of products and reviews")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of everything that is made")
    steps = "steps of 4,096 tokens; a quarter of as many follow with pairs [default: 150]"
    parser.add_argument("--steps", type=int, default=150, help=steps)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    return options


def call(ebert, *arguments):
    """Runs a command, whose output is that of the demo."""
    command = [*map(str, ebert), *map(str, arguments)]
    print(f"\n$ ebert {' '.join(command[len(ebert):])}", flush=True)
    if status := subprocess.run(command).returncode:
        sys.exit(status)


def events(ebert, *arguments):
    """The events that a command prints for a program."""
    command = [*map(str, ebert), *map(str, arguments[:1]), "--log", "json", *map(str, arguments[1:])]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if output.returncode:
        sys.exit(output.returncode)
    return [json.loads(line) for line in output.stdout.splitlines()]


def is_held_out(text_id, ratio, seed):
    """Whether a text is never trained on: "Held-out texts" in docs/files.md."""
    state = xxhash.xxh3_64_intdigest(text_id.to_bytes(8, "little"), xxhash.xxh3_64_intdigest(b"held-out", seed))
    state = (state + 0x9E3779B97F4A7C15) % 2**64
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ state >> 27) * 0x94D049BB133111EB % 2**64
    return ((state ^ state >> 31) >> 11) / 2**53 < ratio


class Found:
    """Held-out documents of a shop, by SQL over its tables."""

    def __init__(self, shop):
        self.shop = shop
        vocabulary = json.loads((shop / "shards/tokenizer.json").read_text())["model"]["vocab"]
        self.tokens = {number: token for token, number in vocabulary.items()}
        seed = json.loads((shop / "shards/manifest.json").read_text())["seed"]
        self.sql = duckdb.connect()
        self.sql.execute(f"""CREATE VIEW segments AS FROM read_parquet(
            ['{shop}/shards/products-*.parquet', '{shop}/shards/reviews-*.parquet'])""")
        texts = self.sql.execute("SELECT DISTINCT text_id FROM segments").fetchall()
        self.sql.execute("CREATE TABLE held_out (text UBIGINT)")
        self.sql.executemany(
            "INSERT INTO held_out VALUES (?)", [text for text in texts if is_held_out(*text, HELD_OUT, seed)]
        )

    def phrases(self):
        """The last word of a pool phrase of each document, in the order of document ids."""
        rows = self.sql.execute(f"""
            SELECT input_ids, phrases FROM segments
            WHERE text_id IN (FROM held_out) AND segment = 0 AND len(phrases) > 0
            ORDER BY document_id LIMIT {PHRASES}
        """).fetchall()
        for number, (ids, phrases) in enumerate(rows):
            phrase = phrases[number % len(phrases)]
            start, end = phrase["start"], phrase["start"] + phrase["length"]
            start = max(place for place in range(start, end) if not self.tokens[ids[place]].startswith("##"))
            left, right = self.words(ids[max(0, start - WINDOW) : start]), self.words(ids[end : end + WINDOW])
            yield {"left": left, "right": right, "wanted": [self.tokens[token] for token in ids[start:end]]}

    def words(self, ids):
        return " ".join(self.tokens[token] for token in ids).replace(" ##", "").removeprefix("##")

    def products(self):
        """Ids and titles of held-out products, in the order of document ids."""
        return self.sql.execute(f"""
            SELECT product_id, title FROM '{self.shop}/corpus/products-*.parquet' JOIN (
                SELECT DISTINCT document_id, product_id FROM '{self.shop}/shards/products-*.parquet'
                WHERE text_id IN (FROM held_out)
            ) USING (product_id)
            WHERE title <> '' ORDER BY document_id LIMIT {PRODUCTS}
        """).fetchall()

    def nearest(self, embeddings, product, title):
        """Ids, titles and cosines of the nearest products with another title."""
        return self.sql.execute(
            f"""
            SELECT other.id, other.text, list_cosine_similarity(other.embedding, this.embedding) AS cosine
            FROM '{embeddings}' AS this, '{embeddings}' AS other
            WHERE this.id = $product AND lower(other.text) <> lower($title)
            ORDER BY cosine DESC, other.id LIMIT {NEAREST}
            """,
            {"product": product, "title": title},
        ).fetchall()

    def relations(self):
        """What the shop says about two products."""
        rows = self.sql.execute(f"""
            SELECT product_a, product_b, min(relation) FROM '{self.shop}/graph/associations.parquet' GROUP BY ALL
        """).fetchall()
        return {frozenset((a, b)): relation.replace("_", " ") for a, b, relation in rows}


def masked_phrases(ebert, models, phrases):
    """Fills in each phrase with both models. Adds the best entries, and the rank of each wanted token."""
    phrases = list(phrases)
    texts = [" ".join([it["left"], *["[MASK]"] * len(it["wanted"]), it["right"]]) for it in phrases]
    for name, model in models.items():
        for phrase, event in zip(phrases, events(ebert, "fill-mask", "--model", model, "--top", TOP, "--", *texts)):
            entries = [[it["entry"] for it in mask] for mask in event["masks"]]
            ranks = [
                of_mask.index(token) if token in of_mask else TOP for of_mask, token in zip(entries, phrase["wanted"])
            ]
            phrase[name] = {"found": [of_mask[0] for of_mask in entries], "ranks": ranks}
    return phrases


def similar_products(ebert, models, catalog, found):
    """The nearest products of each held-out product, with what the shop says about both."""
    relations, products = found.relations(), found.products()
    queries = [{"title": title} for _, title in products]
    for name, model in models.items():
        embeddings = catalog.with_name(f"{name}.parquet")
        events(ebert, "embed", "--model", model, catalog, "--out", embeddings)
        for query, (product, title) in zip(queries, products):
            nearest = found.nearest(embeddings, product, title)
            query[name] = [
                {"title": title, "cosine": cosine, "relation": relations.get(frozenset((product, other)))}
                for other, title, cosine in nearest
            ]
    return queries


def outcome(phrase):
    """Whether more of the tokens are among the first entries after post-training."""
    before, after = (sum(rank < TOP for rank in phrase[name]["ranks"]) for name in MODELS)
    return "better" if after > before else "worse" if after < before else "equal"


def counts(phrases, products):
    """Rows of a table: what is counted, before and after."""
    ranks = [[rank for phrase in phrases for rank in phrase[name]["ranks"]] for name in MODELS]
    tokens = len(ranks[0])
    near_tokens = [sum(rank < TOP for rank in of) for of in ranks]
    whole = [sum(not any(phrase[name]["ranks"]) for phrase in phrases) for name in MODELS]
    related = [sum(it["relation"] is not None for query in products for it in query[name]) for name in MODELS]
    listed = NEAREST * len(products)
    return [
        ("last word of pool phrases: tokens right", [f"{of.count(0)} of {tokens}" for of in ranks]),
        (f"last word of pool phrases: among the first {TOP}", [f"{near} of {tokens}" for near in near_tokens]),
        ("last word of pool phrases: right", [f"{count} of {len(phrases)}" for count in whole]),
        ("nearest products that the shop relates", [f"{count} of {listed}" for count in related]),
    ]


def measured(run):
    """Rows of a table: what the run measured on held-out documents and pairs, before and after."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "held_out" in line]
    rows = []
    for number, mode in enumerate(("words", "phrases")):
        of_mode = [lines[place]["held_out"][number] for place in (0, -1)]
        rows.append((f"masked {mode}: loss in nats per token", [f"{it['loss']:.2f}" for it in of_mode]))
        rows.append((f"masked {mode}: tokens right", [f"{it['accuracy']:.1%}" for it in of_mode]))
    pairs = [lines[place].get("held_out_pairs") for place in (0, -1)]
    if all(pairs):
        rows.append(("neighbor nearer than a random product", [f"{it['nearer']:.1%}" for it in pairs]))
        ranks = [it["retrieval"]["model"]["mrr"] for it in pairs if it.get("retrieval")]
        rows += [("rank of the neighbor, MRR", [f"{rank:.3f}" for rank in ranks])] if len(ranks) == 2 else []
    return rows


def shape(model):
    config = json.loads((model / "config.json").read_text())
    return f"a BERT with {config['num_hidden_layers']} layers of {config['hidden_size']}"


def text_of(tokens):
    return " ".join(tokens).replace(" ##", "")


def show(rows, phrases, products):
    print("\nthe last word of phrases of held-out documents, in the order of their ids")
    for phrase in phrases[:SHOWN_PHRASES]:
        print(f"\n  … {phrase['left'][-60:]} [{text_of(phrase['wanted'])}] {phrase['right'][:40]} …")
        print("    " + "    ".join(f"{name}: {text_of(phrase[name]['found'])}" for name in MODELS), end="")
        print(f"    {outcome(phrase)}")
    print("\nsimilar products of held-out products")
    for query in products[:SHOWN_PRODUCTS]:
        print(f"\n  {query['title'][:96]}")
        for name in MODELS:
            for it in query[name]:
                print(f"    {name:7} {it['cosine']:.3f}  {it['title'][:70]:70} {it['relation'] or ''}")
    print()
    for what, values in rows + counts(phrases, products):
        print(f"{what:45}" + "".join(f"   {name} {value}" for name, value in zip(MODELS, values)))


def render(options, rows, phrases, products):
    escape = html.escape

    def filled(phrase, name):
        ranks, found = phrase[name]["ranks"], phrase[name]["found"]
        kinds = ("right" if rank == 0 else "near" if rank < TOP else "wrong" for rank in ranks)
        numbers = (f"<sup>{rank + 1}</sup>" if 0 < rank < TOP else "" for rank in ranks)
        marks = (f"<mark class={kind}>{escape(text)}{rank}</mark>" for kind, text, rank in zip(kinds, found, numbers))
        return f"<div><small>{name}</small> {' '.join(marks)}</div>"

    def listed(query, name):
        relations = (f" <b>{it['relation']}</b>" if it["relation"] else "" for it in query[name])
        items = (
            f"<li>{it['cosine']:.3f} {escape(it['title'])}{relation}</li>"
            for it, relation in zip(query[name], relations)
        )
        return f"<div><small>{name}</small><ol>{''.join(items)}</ol></div>"

    rows = rows + counts(phrases, products)
    table = "".join(f"<tr><td>{escape(what)}<td>{values[0]}<td>{values[1]}" for what, values in rows)
    texts = "".join(
        f"<article><p>… {escape(it['left'])} <b>{escape(text_of(it['wanted']))}</b> {escape(it['right'])} …</p>"
        f"<div class=pair>{filled(it, 'before')}{filled(it, 'after')}</div></article>"
        for it in phrases[:SHOWN_PHRASES]
    )
    lists = "".join(
        f"<article><p><b>{escape(query['title'])}</b></p>"
        f"<div class=pair>{listed(query, 'before')}{listed(query, 'after')}</div></article>"
        for query in products[:SHOWN_PRODUCTS]
    )
    template = pathlib.Path(__file__).with_name("page.html").read_text()
    outcomes = [outcome(phrase) for phrase in phrases]
    summary = ", ".join(f"{outcomes.count(kind)} {kind}" for kind in ("better", "worse", "equal"))
    steps = f"{options.steps + options.steps // 4:,}"
    values = {"corpus": options.corpus.name, "start": shape(options.start), "steps": steps}
    values = {key: escape(value) for key, value in values.items()}
    values |= {"table": table, "texts": texts, "lists": lists, "summary": summary, "phrases": str(len(phrases))}
    for key, value in values.items():
        template = template.replace("{{" + key + "}}", value)
    return template


if __name__ == "__main__":
    main()
