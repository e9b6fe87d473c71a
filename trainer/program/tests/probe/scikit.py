"""Compare the scores of `ebert probe` with scikit-learn, on the features that the model gave.

    ebert probe MODEL --titles FILE … --out probe.json --export exported
    python scikit.py probe.json exported [--labels 20] [--questions 50]

Every file of the folder is checked that is there. Prints one JSON object: for each probe the largest differences, and
how many items were compared. `--labels` and `--questions` bound what takes long.
"""

import argparse
import json
import struct
import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, precision_recall_curve, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

warnings.simplefilter("error", ConvergenceWarning)
KINDS = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "U8": np.uint8}


def tensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        found[name] = np.frombuffer(data[start:end], KINDS[entry["dtype"]]).reshape(entry["shape"])
    return found


def fitted(x, y, c):
    scaler = StandardScaler().fit(x)
    # tol bounds each component of the gradient.
    model = LogisticRegression(C=c, tol=1e-8, max_iter=200, solver="newton-cholesky").fit(scaler.transform(x), y)
    return lambda x: model.decision_function(scaler.transform(x))


def probability(logits):
    """Logits far from 0 differ while what they say does not."""
    return 1 / (1 + np.exp(-np.asarray(logits, dtype=float)))


def largest(found, wanted):
    return float(np.max(np.abs(np.asarray(found, dtype=float) - np.asarray(wanted, dtype=float)), initial=0))


def titles(folder, model, bounds):
    data = tensors(folder / "titles.safetensors")
    features, labels, folds = data["features"].astype(float), data["labels"], data["folds"]
    scores = model["probes"]["titles"]["scores"]
    out = {}
    for name, predicted in (("logistic", data["logits"] > 0), ("5 nearest", data["votes"] > 0.5)):
        seen = (labels.sum(0) + predicted.sum(0)) > 0
        wanted = [
            float((predicted == labels).all(1).mean()),
            f1_score(labels, predicted, average="micro", zero_division=0),
            f1_score(labels[:, seen], predicted[:, seen], average="macro", zero_division=0),
        ]
        found = [scores[f"{name}, {score}"] for score in ("titles all right", "micro-F1", "macro-F1")]
        out[f"{name}, scores"] = largest(found, wanted)
    test, train = folds == 0, folds != 0
    chosen = np.random.default_rng(0).permutation(labels.shape[1])[: bounds.labels]
    chosen = [label for label in chosen if 0 < labels[train, label].sum() < train.sum()]
    apart, flipped = 0.0, 0
    for label in chosen:
        logits = fitted(features[train], labels[train, label], float(data["c"][0]))(features[test])
        apart = max(apart, largest(probability(data["logits"][test, label]), probability(logits)))
        flipped += int(((data["logits"][test, label] > 0) != (logits > 0)).sum())
    out |= {"logistic, probabilities": apart, "logistic, predictions that differ": flipped}
    neighbors = KNeighborsClassifier(5, metric="cosine", algorithm="brute").fit(features[train], labels[train])
    rows = np.flatnonzero(test)[:1000]
    nearest = neighbors.kneighbors(features[rows], return_distance=False)
    votes = labels[train][nearest].mean(1)
    # Where the fifth and the sixth are equally near, either may vote.
    out["5 nearest, titles with other votes"] = int((np.abs(votes - data["votes"][rows]) > 1e-9).any(1).sum())
    return out | {"labels": len(chosen), "titles": int(test.sum()), "titles with votes": len(rows)}


def best_threshold(scores, same):
    precision, recall, thresholds = precision_recall_curve(same, scores)
    f1 = (2 * precision * recall / np.maximum(precision + recall, 1e-300))[: len(thresholds)]
    # Of equal ones the highest, half-way to the next score below.
    highest = thresholds[np.flatnonzero(np.isclose(f1, f1.max(), rtol=1e-12))[-1]]
    below = scores[scores < highest]
    return f1.max(), (highest + below.max(initial=-np.inf)) / 2


def matching(folder, model, _, name):
    data = tensors(folder / f"{name}.safetensors")
    scores = model["probes"][name]["scores"]
    given = data["validation_logits"].reshape(len(data["choices"]), -1)
    best, apart = (-1.0, None), 0.0
    for c, logits in zip(data["choices"], given, strict=True):
        fit = fitted(data["train"].astype(float), data["train_same"], float(c))
        on_validation = fit(data["validation"].astype(float))
        apart = max(apart, largest(probability(logits), probability(on_validation)))
        f1, threshold = best_threshold(on_validation, data["validation_same"])
        if f1 > best[0]:
            best = (f1, f1_score(data["test_same"], fit(data["test"].astype(float)) >= threshold))
    _, threshold = best_threshold(data["validation_cosines"], data["validation_same"])
    cosine = f1_score(data["test_same"], data["test_cosines"] >= threshold)
    return {
        "probabilities": apart,
        "F1": largest(scores["logistic, F1"], best[1]),
        "F1 by cosine": largest(scores["cosine, F1"], cosine),
        "pairs": len(data["test_same"]),
    }


def relations(folder, model, _):
    data = tensors(folder / "relations.safetensors")
    test = data["folds"] == 0
    fit = fitted(data["features"][~test].astype(float), data["substitute"][~test], float(data["c"][0]))
    logits = fit(data["features"][test].astype(float))
    auc = roc_auc_score(data["substitute"], data["logits"])
    return {
        "probabilities": largest(probability(data["logits"][test]), probability(logits)),
        "AUC": largest(model["probes"]["relations"]["scores"]["substitute or complement, AUC"], auc),
        "pairs": len(test),
    }


def spans(tags):
    """Places of aspects: a B, or an I after an O, and the I that follow."""
    found, start = set(), None
    for at, tag in enumerate([*tags, 0]):
        if start is not None and tag != 2:
            found.add((start, at))
            start = None
        if tag == 1 or (tag == 2 and start is None):
            start = at
    return found


def aspects(folder, model, _, name):
    data = tensors(folder / f"{name}.safetensors")
    test = data["folds"] == 0
    fit = fitted(data["features"][~test].astype(float), data["tags"][~test], float(data["c"][0]))

    def softmax(logits):
        logits = np.exp(logits - logits.max(1, keepdims=True))
        return logits / logits.sum(1, keepdims=True)

    wanted = softmax(fit(data["features"][test].astype(float)))
    given = softmax(data["logits"][test])
    right = predicted = gold = 0
    tags = data["logits"].argmax(1)
    for sentence in np.unique(data["sentences"]):
        rows = data["sentences"] == sentence
        found, true = spans(tags[rows]), spans(data["tags"][rows])
        right, predicted, gold = right + len(found & true), predicted + len(found), gold + len(true)
    return {
        "probabilities": largest(given, wanted),
        "words tagged differently": int((given.argmax(1) != wanted.argmax(1)).sum()),
        "F1 of whole words": largest(model["probes"][name]["scores"]["F1"], 2 * right / (predicted + gold)),
        "words": int(test.sum()),
    }


def retrieval(folder, model, bounds, items):
    means = tensors(folder / "retrieval.safetensors")["means"]
    said = json.loads((folder / "retrieval.json").read_text())
    words = {"lowercase": True, "token_pattern": r"[^\W_]+"}
    tf_idf = TfidfVectorizer(**words).fit_transform(said["texts"])
    counts = CountVectorizer(**words).fit_transform(said["texts"]).tocsr()
    n, frequency = counts.shape[0], np.asarray((counts > 0).sum(0)).ravel()
    idf = np.log1p((n - frequency + 0.5) / (frequency + 0.5))
    lengths = np.asarray(counts.sum(1)).ravel()

    def bm25(query, others):
        terms = counts[query].indices
        count = counts[others][:, terms].toarray().astype(float)
        norm = 1.2 * (0.25 + 0.75 * lengths[others] / lengths.mean())
        return (idf[terms] * count * 2.2 / (count + norm[:, None])).sum(1)

    def overlap(query, others):
        one, rest = (counts[query] > 0).toarray().ravel(), (counts[others] > 0).toarray()
        return (rest & one).sum(1) / np.maximum((rest | one).sum(1), 1)

    rankings = {
        "cosine": lambda query, others: means[others] @ means[query],
        "tf-idf": lambda query, others: (tf_idf[others] @ tf_idf[query].T).toarray().ravel(),
        "BM25": bm25,
        "word overlap": overlap,
    }
    results = model["probes"]["retrieval"]["results"]
    given = {name: results.get(name, items.get(name)) for name in rankings}
    out = {}
    for name, ranking in rankings.items():
        at, apart = 0, 0.0
        for question in said["questions"][: bounds.questions]:
            candidates = np.array(question["candidates"])
            others = ranking(question["anchor"], candidates)
            for _, neighbor in question["neighbors"]:
                own = ranking(question["anchor"], np.array([neighbor]))[0]
                # What differs by rounding alone is equal.
                near = np.isclose(others, own, rtol=1e-9, atol=1e-12)
                least = 1 + ((others > own) & ~near).sum()
                most = least + near.sum()
                # The middle rank, or one of those that rounding may give.
                rank = given[name][at]
                apart = max(apart, least - rank, rank - most)
                at += 1
        out[f"{name}, ranks"] = float(apart)
        ranks = np.array(given[name])
        for score, value in {
            "MRR": (1 / ranks).mean(),
            "recall@1": (ranks <= 1).mean(),
            "recall@10": (ranks <= 10).mean(),
        }.items():
            found = model["probes"]["retrieval"]["scores"][f"{name}, {score}"]
            out["scores"] = max(out.get("scores", 0.0), largest(found, value))
    return out | {"questions": min(bounds.questions, len(said["questions"]))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("record", type=Path)
    parser.add_argument("exported", type=Path)
    parser.add_argument("--labels", type=int, default=20)
    parser.add_argument("--questions", type=int, default=50)
    bounds = parser.parse_args()
    record = json.loads(bounds.record.read_text())
    (model,) = record["models"]
    found = {}
    for path in sorted(bounds.exported.glob("*.safetensors")):
        name = path.stem
        what = (bounds.exported, model, bounds)
        if name.startswith("matching "):
            found[name] = matching(*what, name)
        elif name.startswith("aspects "):
            found[name] = aspects(*what, name)
        elif name == "retrieval":
            found[name] = retrieval(*what, record["items"][name])
        else:
            found[name] = {"titles": titles, "relations": relations}[name](*what)
        print(f"compared  {name}", file=sys.stderr, flush=True)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
