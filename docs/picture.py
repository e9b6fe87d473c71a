"""Draws the rows of `ebert inspect` as docs/phrases.svg.

    ebert inspect data/work --rows 6 --color always | python3 docs/picture.py > docs/phrases.svg
"""

import re
import sys
from html import escape

WIDTH, LINE, LEFT, CHAR = 92, 24, 18, 8.43
COLORS = {"1;33": ("#1d4ed8", "#dbeafe"), "36": ("#475569", "#e8edf3")}
ROWS = slice(0, 5)


def pieces(line):
    """The words of a row with their colors, wrapped at WIDTH characters."""
    wrapped, used = [[]], 0
    for code, text in re.findall(r"(?:\x1b\[([\d;]+)m)?([^\x1b]+)(?:\x1b\[0m)?", line):
        for word in [text] if code in COLORS else text.split():
            if used + len(word) + 1 > WIDTH:
                wrapped.append([])
                used = 0
            wrapped[-1].append((code, word, used))
            used += len(word) + 1
    return wrapped[:2]


rows = sys.stdin.read().split("some rows:")[1].splitlines()[1:][ROWS]
body, y = [], 46
for row in rows:
    text = row.strip()
    text = text[text.index("\x1b[0m") + 4 :]  # without the id
    for line in pieces(text):
        for code, word, at in line:
            x = LEFT + at * CHAR
            ink, paper = COLORS.get(code, ("#1f2937", None))
            if paper:
                body.append(
                    f'<rect x="{x - 3:.0f}" y="{y - 15}" width="{len(word) * CHAR + 6:.0f}" height="21" rx="4" fill="{paper}"/>'
                )
            weight = ' font-weight="600"' if code == "1;33" else ""
            length = f' textLength="{len(word) * CHAR:.0f}"' if len(word) > 1 else ""
            body.append(f'<text x="{x:.0f}" y="{y}" fill="{ink}"{weight}{length}>{escape(word)}</text>')
        y += LINE
    y += 8
height, width = y - 8, LEFT * 2 + WIDTH * CHAR
print(
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}" '
    f'role="img" aria-label="Texts of products with phrases and noun phrases" font-family="ui-monospace,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="14">'
    f'<rect width="100%" height="100%" rx="8" fill="#fff"/>'
    f'<text x="{LEFT}" y="22" font-size="12" font-family="system-ui,sans-serif" fill="#64748b">'
    f'<tspan fill="#1d4ed8" font-weight="600">pool phrases</tspan> mined from the corpus, and other noun phrases</text>'
)
print("\n".join(body))
print("</svg>")
