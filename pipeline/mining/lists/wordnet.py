"""Writes english_nouns.txt.zst from WordNet's file of nouns. NOTICE.md has the command.

Usage: wordnet.py DICT/data.noun > english_nouns.txt

A line of data.noun is a synset: offset, lexicographer file, part of speech, number of words (hexadecimal), pairs of
word and sense, and pointers. Words are joined by underscores. See
https://wordnet.princeton.edu/documentation/wndb5wn.
"""

import sys


# Lexicographer files of animals and plants.
SPECIES = ("05", "20")


def phrases(lines):
    for line in lines:
        # The license.
        if line.startswith("  "):
            continue
        fields = line.split(" ")
        for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2]:
            # Capitals are names, there of species.
            is_species = fields[1] in SPECIES and word != word.lower()
            if "_" in word and not is_species:
                yield word.replace("_", " ")


with open(sys.argv[1], encoding="utf-8") as lines:
    sys.stdout.write("".join(f"{phrase}\n" for phrase in sorted(set(phrases(lines)))))
