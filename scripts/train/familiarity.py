#!/usr/bin/env python3
"""Writes `familiarity.bin`: how usual the word pieces of a post are among the posts that the model learnt from.

    python familiarity.py CACHE models/affect-l6            # writes models/affect-l6/familiarity.bin, a minute on one core

The file has counts of single pieces and of pairs of neighbours, and what share of validation posts is at least so unusual. `crates/science/affect`
reads it (`familiarity.rs` there says what the score means and defines the file). Training posts are those of the permitted sets, with the public
streams. No test split is read.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy

import base
import predict
import recipe

MAGIC = b"limbic-familiarity-1\n"
# Places for pairs. Of the pairs with one place, it holds the most frequent one.
PLACES = 17
# A pair that was seen less often is left out.
FEWEST_PAIRS = 4
# A byte for a piece holds the logarithm of its count, in steps of an eighth of a doubling.
STEPS = 8
# A pair counts as much as its own frequency says, once its first piece was seen far more often than this.
PRIOR = 20.0
# Posts with at most so many pieces have quantiles of their own; longer ones share the last.
LENGTHS = (8, 16, 32)
# Quantiles of a table, from 0 to 1. The last hundredth has half of them, because decisions are made there.
GRID = numpy.concatenate([numpy.linspace(0.0, 0.99, 100), numpy.linspace(0.99, 1.0, 101)[1:]])
VALIDATION = ["sentiment", "emotion", "irony", "hate", "offensive", "goemotions", "valence"]


def places(first: numpy.ndarray, second: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Returns the place of each pair, and its mark of four bits, by which most other pairs with the place are told from it. `familiarity.rs` has
    the same function."""
    mixed = (first.astype(numpy.uint64) << numpy.uint64(32) | second.astype(numpy.uint64)) * numpy.uint64(0x9E37_79B9_7F4A_7C15)
    place = mixed >> numpy.uint64(64 - PLACES)
    mark = mixed >> numpy.uint64(64 - PLACES - 4) & numpy.uint64(15)
    return place.astype(numpy.int64), mark.astype(numpy.uint8)


def packed(counts: numpy.ndarray) -> numpy.ndarray:
    return numpy.minimum(numpy.round(STEPS * numpy.log2(counts + 1.0)), 255).astype(numpy.uint8)


def unpacked(bytes_: numpy.ndarray) -> numpy.ndarray:
    return numpy.exp2(bytes_ / STEPS) - 1.0


def pair_table(rows: list[numpy.ndarray]) -> numpy.ndarray:
    """Returns a byte for each place: the mark of its pair above, and below the whole part of the logarithm of its count (0: no pair)."""
    both = numpy.concatenate([row[:-1].astype(numpy.uint64) << numpy.uint64(32) | row[1:].astype(numpy.uint64) for row in rows])
    pairs, counts = numpy.unique(both, return_counts=True)
    order = numpy.argsort(counts, kind="stable")
    pairs, counts = pairs[order][counts[order] >= FEWEST_PAIRS], counts[order][counts[order] >= FEWEST_PAIRS]
    place, mark = places(pairs >> numpy.uint64(32), pairs & numpy.uint64(0xFFFF_FFFF))
    table = numpy.zeros(1 << PLACES, numpy.uint8)
    # Later ones are more frequent, and stay.
    table[place] = mark << 4 | numpy.minimum(numpy.log2(counts).astype(numpy.uint8), 15)
    return table


def is_short(pieces: list[str]) -> numpy.ndarray:
    """Returns which pieces continue a word, or have one ASCII character: a letter, a digit or a sign. An emoji has another one."""
    return numpy.array([piece.startswith("##") or (len(piece) == 1 and piece.isascii()) for piece in pieces])


class Counts:
    def __init__(self, rows: list[numpy.ndarray], vocabulary: int) -> None:
        self.single = packed(numpy.bincount(numpy.concatenate(rows), minlength=vocabulary))
        self.pairs = pair_table(rows)
        self.of_piece = unpacked(self.single)
        self.total = self.of_piece.sum() + 0.5 * vocabulary

    def of_pairs(self, first: numpy.ndarray, second: numpy.ndarray) -> numpy.ndarray:
        place, mark = places(first, second)
        kept = self.pairs[place]
        return numpy.where((kept >> 4 == mark) & (kept & 15 > 0), numpy.exp2((kept & 15) + 0.5), 0.0)

    def surprise(self, row: numpy.ndarray) -> float:
        """Returns the mean surprise of a piece after the one before it, in bits."""
        first, second = row[:-1], row[1:]
        before = self.of_piece[first]
        alone = (self.of_piece[second] + 0.5) / self.total
        chance = (numpy.minimum(self.of_pairs(first, second), before) + PRIOR * alone) / (before + PRIOR)
        return float(-numpy.log2(chance).mean())


def length_class(row: numpy.ndarray) -> int:
    return int(numpy.searchsorted(LENGTHS, len(row)))


class Table:
    """Quantiles of validation posts, for each class of length."""

    def __init__(self, values: numpy.ndarray, classes: numpy.ndarray) -> None:
        self.quantiles = numpy.stack([numpy.quantile(values[classes == kind], GRID) for kind in range(len(LENGTHS) + 1)]).astype(numpy.float32)

    def rank(self, value: float, kind: int) -> float:
        """Returns the share of validation posts of the class that have a lower value, between two quantiles in proportion."""
        row = self.quantiles[kind]
        at = int(numpy.searchsorted(row, value, side="right"))
        if at == 0:
            return 0.0
        if at == len(row):
            return 1.0
        low, high = row[at - 1], row[at]
        return float(GRID[at - 1] + (GRID[at] - GRID[at - 1]) * (value - low) / (high - low))


class Familiarity:
    def __init__(self, learnt: list[numpy.ndarray], validation: list[numpy.ndarray], pieces: list[str]) -> None:
        self.pieces = pieces
        self.short = is_short(pieces)
        self.counts = Counts(learnt, len(pieces))
        kinds = numpy.array([length_class(row) for row in validation])
        self.surprise = Table(numpy.array([self.counts.surprise(row) for row in validation]), kinds)
        self.shortness = Table(numpy.array([self.share_of_short(row) for row in validation]), kinds)
        greater = numpy.array([self.greater(row) for row in validation])
        # Of two quantiles the greater one is above 0.99 for more than a hundredth of posts: this table makes it a share of posts again.
        self.both = Table(greater, kinds)

    def share_of_short(self, row: numpy.ndarray) -> float:
        words = row[1:-1]
        return float(self.short[words].mean()) if len(words) else 0.0

    def greater(self, row: numpy.ndarray) -> float:
        kind = length_class(row)
        return max(self.surprise.rank(self.counts.surprise(row), kind), self.shortness.rank(self.share_of_short(row), kind))

    def score(self, row: numpy.ndarray) -> float:
        return self.both.rank(self.greater(row), length_class(row))

    def to_bytes(self) -> bytes:
        body = MAGIC + bytes.fromhex(hashlib.sha256(base.VOCABULARY.read_bytes()).hexdigest())
        body += len(self.pieces).to_bytes(4, "little") + self.counts.single.tobytes() + self.counts.pairs.tobytes()
        for table in (self.surprise, self.shortness, self.both):
            body += table.quantiles.astype("<f4").tobytes()
        return body + hashlib.sha256(body).digest()


def read(cache: Path, names: list[str], split: str) -> list[numpy.ndarray]:
    return [numpy.asarray(row) for name in names for row in predict.ragged(cache / "tokens" / f"{name}.{split}.npz")[0]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("cache", type=Path)
    arguments.add_argument("folder", type=Path)
    given = arguments.parse_args()
    learnt = read(given.cache, recipe.PERMITTED, "train")
    made = Familiarity(learnt, read(given.cache, VALIDATION, "validation"), base.pieces())
    (given.folder / "familiarity.bin").write_bytes(made.to_bytes())


if __name__ == "__main__":
    main()
