"""Draws ../proof.svg from records/: what the arms learn while they train.

    python3 docs/results/proof/figures.py

A line is the mean of an arm's replicates, as far as all of them are measured. The band around it is
their range.
"""
import gzip
import json
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
# The colors of all pages (trainer/report/src/color.rs). They can be read on light and dark paper.
COLORS = {
    "bert": "#0072b2",
    "bert-np": "#e69f00",
    "spanbert": "#cc79a7",
    "e-bert-dp": "#7a5195",
    "e-bert-ahm": "#009e73",
    "mixed": "#8c6d31",
    "e-bert-products": "#56b4e9",
    "e-bert": "#d55e00",
}
INK = "#7f7f7f"
WIDTH, HEIGHT, LEFT, TOP, GAP = 300, 170, 44, 62, 64


def mode(record, name):
    return next(it for it in record["held_out"] if it["mode"] == name)


def retrieval(record, by):
    return record["held_out_pairs"]["retrieval"][by]["mrr"]


# Title, unit, and the value of a record with measurements.
PANELS = [
    ("Words predicted right", "%", lambda it: 100 * mode(it, "word")["whole"]),
    ("Pool phrases predicted right", "%", lambda it: 100 * mode(it, "phrase")["pool_phrases"]["whole"]),
    ("Neighbors found", "MRR", lambda it: retrieval(it, "model")),
]


def read(path):
    """The records of a run, by kind."""
    with gzip.open(path, "rt") as lines:
        records = [json.loads(line) for line in lines]
    return [it for it in records if "held_out" in it], [it for it in records if it.get("alpha") is not None]


def smooth(records, window=100):
    """Mean alpha of each `window` steps."""
    groups = {}
    for record in records:
        groups.setdefault((record["step"] - 1) // window, []).append(record["alpha"])
    return {(group + 1) * window: sum(values) / len(values) for group, values in groups.items()}


def series():
    """Of each panel: arm to its replicates, each a map of step to value."""
    panels = [{} for _ in range(len(PANELS) + 1)]
    for path in sorted((HERE / "records").glob("*.metrics.jsonl.gz")):
        arm = re.sub(r"-\d+\.metrics\.jsonl\.gz$", "", path.name)
        if arm not in COLORS:
            continue
        held_out, steps = read(path)
        for panel, (_, _, value) in zip(panels, PANELS):
            panel.setdefault(arm, []).append({it["step"]: value(it) for it in held_out})
        if arm in ("e-bert-ahm", "e-bert-products", "e-bert", "mixed"):
            panels[-1].setdefault(arm, []).append(smooth(steps))
    return panels


def ticks(low, high):
    """Some four round numbers in a range."""
    rough = (high - low) / 4
    power = 10 ** len(str(int(1 / rough))) if rough < 1 else 1
    step = next(it / power for it in (1, 2, 5, 10, 20, 50, 100) if it / power >= rough)
    first = int(low / step) + (low > 0)
    return [round(it * step, 6) for it in range(first, int(high / step + 1e-9) + 1)]


def panel(number, title, unit, arms):
    """A chart at its place."""
    x0, y0 = LEFT + (number % 2) * (WIDTH + GAP), TOP + (number // 2) * (HEIGHT + GAP)
    values = [value for runs in arms.values() for run in runs for value in run.values()]
    low, high = min(values), max(values)
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
    last = max(step for runs in arms.values() for run in runs for step in run)
    x = lambda step: x0 + WIDTH * step / last
    y = lambda value: y0 + HEIGHT * (high - value) / (high - low)
    svg = [f'<text x="{x0}" y="{y0 - 12}" font-weight="bold">{title}{f" ({unit})" if unit else ""}</text>']
    for tick in ticks(low, high):
        svg.append(f'<path d="M{x0} {y(tick):.1f}h{WIDTH}" stroke="{INK}" stroke-opacity=".3"/>')
        svg.append(f'<text x="{x0 - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for step in range(0, last + 1, 500):
        svg.append(f'<text x="{x(step):.1f}" y="{y0 + HEIGHT + 16}" text-anchor="middle">{step:,}</text>')
    for arm, runs in arms.items():
        steps = sorted(set.intersection(*map(set, runs)))
        upper = [(x(step), y(max(run[step] for run in runs))) for step in steps]
        lower = [(x(step), y(min(run[step] for run in runs))) for step in reversed(steps)]
        mean = [(x(step), y(sum(run[step] for run in runs) / len(runs))) for step in steps]
        points = lambda line: " ".join(f"{a:.1f},{b:.1f}" for a, b in line)
        if len(runs) > 1:
            svg.append(f'<polygon points="{points(upper + lower)}" fill="{COLORS[arm]}" fill-opacity=".18"/>')
        svg.append(f'<polyline points="{points(mean)}" fill="none" stroke="{COLORS[arm]}" stroke-width="1.8"/>')
    return "\n".join(svg)


def main():
    panels = series()
    titles = [(title, unit) for title, unit, _ in PANELS] + [("Alpha, the probability of word mode", "")]
    width, height = 2 * (LEFT + WIDTH) + GAP - 16, TOP + 2 * (HEIGHT + GAP) - 16
    arms = [arm for arm in COLORS if arm in panels[0]]
    legend, x = [], LEFT
    for arm in arms:
        legend.append(f'<path d="M{x} 20h18" stroke="{COLORS[arm]}" stroke-width="3"/><text x="{x + 23}" y="24">{arm}</text>')
        x += 38 + 7 * len(arm)
    body = [panel(at, *title, arms) for at, (title, arms) in enumerate(zip(titles, panels)) if arms]
    svg = "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="sans-serif" font-size="11" fill="{INK}">',
        "<title>Held-out scores and alpha of the arms, by training step</title>", *legend, *body, "</svg>\n",
    ])
    (HERE.parent / "proof.svg").write_text(svg)


if __name__ == "__main__":
    main()
