#!/usr/bin/env python3
"""Writes the model's vocabulary: the base's lines, then one line for every emoji that the base lacks.

    scripts/train/vocabulary.py BASE_VOCAB crates/science/affect/data/vader_emoji.tsv > models/affect-l6/vocab.txt

Only emoji of one code point get a row. The tokeniser splits sequences (it drops skin tones and selectors, and splits a family into
persons), so these rows cover every sequence.
"""

import sys

# The code points that the tokeniser drops from emoji sequences: joiner, selectors, keycap, skin tones.
DROPPED = {0x200D, 0xFE0E, 0xFE0F, 0x20E3, *range(0x1F3FB, 0x1F400)}


def main(base: str, emoji: str) -> None:
    with open(base, encoding="utf-8") as lines:
        vocabulary = [line.rstrip("\n") for line in lines]
    known = set(vocabulary)
    with open(emoji, encoding="utf-8") as rows:
        for row in rows:
            parts = [c for c in row.split("\t")[0] if ord(c) not in DROPPED]
            for part in parts:
                is_letter_or_digit = part.isalnum() or ord(part) < 0x80
                is_regional_indicator = 0x1F1E6 <= ord(part) <= 0x1F1FF
                if part not in known and not is_letter_or_digit and not is_regional_indicator:
                    known.add(part)
                    vocabulary.append(part)
    sys.stdout.write("".join(f"{piece}\n" for piece in vocabulary))


if __name__ == "__main__":
    main(*sys.argv[1:])
