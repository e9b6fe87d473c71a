"""Predictions for all four tasks with the scores that the usual programs give: what `ebert evaluate` must say of them.

    python reference.py FOLDER

writes the data files, the predictions and `scores.json`. Question answering is scored by the functions of SQuAD's evaluation script as
`transformers` has them (normalisation, F1, exact match; precision and recall are those of the gold answer with the highest F1), classification by
scikit-learn, aspects by sets of places. Needs transformers 4 and scikit-learn.
"""
import collections
import json
import pathlib
import random
import re
import sys
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from sklearn.metrics import accuracy_score, f1_score
from sklearn.preprocessing import MultiLabelBinarizer
from transformers.data.metrics import squad_metrics

WORDS = """the a an The An battery life screen keyboard fan noise price café naïve “quoted” wi-fi don't it's (big) blue-green theme
another antenna 15-inch $999 fast, slow; heavy! light? cord charger—cable lid’s hinge good bad okay works fails great tea""".split()
POLARITIES = ["negative", "neutral", "positive"]


def scores_of(prediction, gold):
    """Precision, recall and F1 of the tokens. SQuAD 1.1 gives nothing where no token is left of either, unlike SQuAD 2."""
    found, wanted = (squad_metrics.get_tokens(text) for text in (prediction, gold))
    same = sum((collections.Counter(found) & collections.Counter(wanted)).values())
    if not same:
        return 0, 0, 0
    precision, recall = same / len(found), same / len(wanted)
    return precision, recall, 2 * precision * recall / (precision + recall)


def text_of(draw, words):
    text = ""
    for _ in range(words):
        text += draw.choice(WORDS) + draw.choice([" ", " ", " ", "  ", " - "])
    return text.strip()


def some_span(draw, text, most):
    starts = [m.span() for m in re.finditer(r"\S+", text)]
    first = draw.randrange(len(starts))
    last = min(len(starts) - 1, first + draw.randrange(most))
    return starts[first][0], starts[last][1]


def lines(path, objects):
    path.write_text("".join(json.dumps(o, ensure_ascii=False) + "\n" for o in objects), encoding="utf-8")


def answers(draw, folder):
    data, predictions, each = [], [], []
    for entry in range(20):
        context = text_of(draw, 30)
        qas = []
        for number in range(4):
            spans = [some_span(draw, context, 5) for _ in range(draw.randrange(1, 4))]
            golds = [{"text": context[a:b], "answer_start": a} for a, b in spans]
            a, b = draw.choice(spans)
            kind = draw.randrange(5)
            if kind == 0:
                prediction = context[a:b]
            elif kind == 1:
                prediction = context[max(0, a - 6) : b + 9]
            elif kind == 2:
                prediction = context[a:b].upper().replace("-", "")
            elif kind == 3:
                prediction = ""
            else:
                c, d = some_span(draw, context, 8)
                prediction = context[c:d]
            id = f"q{entry}-{number}"
            qas.append({"id": id, "question": text_of(draw, 4) + "?", "answers": golds})
            predictions.append({"id": id, "prediction": prediction})
            best = max((scores_of(prediction, g["text"]) for g in golds), key=lambda s: s[2])
            exact = max(squad_metrics.compute_exact(g["text"], prediction) for g in golds)
            each.append((*best, float(exact)))
        data.append({"title": f"entry {entry}", "paragraphs": [{"context": context, "qas": qas}]})
    (folder / "rqa.json").write_text(json.dumps({"version": "1.1", "data": data}, ensure_ascii=False) + "\n", encoding="utf-8")
    lines(folder / "rqa.predictions.jsonl", predictions)
    return dict(zip(["precision", "recall", "f1", "exact_match"], np.mean(each, axis=0).tolist()))


def aspects(draw, folder):
    xml = ["<sentences>"]
    places, classes = [], []
    right = predicted = gold = 0
    true, said = [], []
    for number in range(120):
        text = text_of(draw, 12)
        spans = sorted({some_span(draw, text, 2) for _ in range(draw.randrange(0, 4))})
        xml.append(f'  <sentence id="{number}">\n    <text>{escape(text)}</text>')
        if spans:
            xml.append("    <aspectTerms>")
        for a, b in spans:
            polarity = draw.choices(POLARITIES, [1, 2, 4])[0]
            xml.append(f'      <aspectTerm term={quoteattr(text[a:b])} polarity="{polarity}" from="{a}" to="{b}"/>')
            answer = polarity if draw.random() < 0.6 else draw.choice(POLARITIES)
            classes.append({"id": f"{number}#{a}-{b}", "prediction": answer})
            true.append(polarity)
            said.append(answer)
        xml.append("    </aspectTerms>\n  </sentence>" if spans else "  </sentence>")
        mine = {s for s in spans if draw.random() < 0.7} | {some_span(draw, text, 2) for _ in range(draw.randrange(0, 2))}
        places.append({"id": str(number), "prediction": sorted(mine)})
        right, predicted, gold = right + len(mine & set(spans)), predicted + len(mine), gold + len(spans)
    xml.append("</sentences>\n")
    (folder / "aspects.xml").write_text('<?xml version="1.0" encoding="UTF-8"?>\n' + "\n".join(xml), encoding="utf-8")
    lines(folder / "ae.predictions.jsonl", places)
    lines(folder / "asc.predictions.jsonl", classes)
    precision, recall = right / predicted, right / gold
    return (
        {"precision": precision, "recall": recall, "f1": 2 * precision * recall / (precision + recall)},
        {"accuracy": accuracy_score(true, said), "macro_f1": f1_score(true, said, average="macro", zero_division=0)},
    )


def products(draw, folder):
    names = [f"Label {n}" for n in range(12)]
    rows, predictions, true, said = [], [], [], []
    for number in range(150):
        labels = sorted({names[min(11, int(draw.expovariate(0.3)))] for _ in range(3)})
        kind = draw.random()
        mine = labels if kind < 0.5 else sorted({draw.choice(names[:9]) for _ in range(draw.randrange(0, 4))})
        rows.append({"id": f"B{number:05}", "title": text_of(draw, 6) + f" {number}", "labels": labels})
        predictions.append({"id": f"B{number:05}", "prediction": mine})
        true.append(labels)
        said.append(mine)
    lines(folder / "pc.jsonl", rows)
    lines(folder / "pc.predictions.jsonl", predictions)
    binary = MultiLabelBinarizer().fit(true + said)
    true, said = binary.transform(true), binary.transform(said)
    return {
        "accuracy": accuracy_score(true, said),
        "micro_f1": f1_score(true, said, average="micro", zero_division=0),
        "macro_f1": f1_score(true, said, average="macro", zero_division=0),
    }


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(0)
    rqa = answers(draw, folder)
    ae, asc = aspects(draw, folder)
    scores = {"rqa": rqa, "pc": products(draw, folder), "ae": ae, "asc": asc}
    (folder / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    print(json.dumps(scores, indent=1))


main()
