"""Tokenises every post once, with the engine's own tokeniser, and writes arrays to the cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy

import base
import posts

MOST_TOKENS = 128
# Share of each training set that is kept. Less than 1 is for a trial run (`run --try`).
SHARE = float(os.environ.get("LIMBIC_TRAIN_SHARE", "1"))


def tokenise(program: list[str], vocabulary: Path, texts: list[str]) -> list[list[int]]:
    done = subprocess.run(
        [*program, str(vocabulary), str(MOST_TOKENS)], input=posts.as_json_lines(texts), capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def save(path: Path, ids: list[list[int]], targets) -> None:
    """Writes ragged ids as one array with offsets: first to a temporary file, then renamed."""
    offsets = numpy.cumsum([0, *map(len, ids)]).astype(numpy.int32)
    aside = path.with_suffix(".part")
    with open(aside, "wb") as file:
        numpy.savez(file, ids=numpy.fromiter((i for row in ids for i in row), numpy.uint16), offsets=offsets, targets=targets)
    aside.replace(path)


def main(program: str, vocabulary: str, cache: str) -> None:
    folder = Path(cache) / "tokens"
    folder.mkdir(parents=True, exist_ok=True)
    found = posts.read()
    if SHARE < 1:
        for splits in found.values():
            splits["train"] = splits["train"][:: round(1 / SHARE)]
    jobs = [(task, split, rows) for task, splits in found.items() for split, rows in splits.items() if rows]
    ids = tokenise([program], Path(vocabulary), [text for _, _, rows in jobs for text, _ in rows])
    begin = 0
    for task, split, rows in jobs:
        part = ids[begin : begin + len(rows)]
        begin += len(rows)
        kind = numpy.int64 if isinstance(rows[0][1], int) else numpy.float32
        save(folder / f"{task}.{split}.npz", part, numpy.array([target for _, target in rows], kind))
        print(f"{task}.{split}: {len(part)} posts, {sum(map(len, part)) / len(part):.1f} tokens each")
    equity = tokenise([program], Path(vocabulary), [row["Sentence"] for row in posts.equity_corpus()])
    save(folder / "equity.npz", equity, numpy.zeros(len(equity)))
    base.save(Path(cache))


if __name__ == "__main__":
    main(*sys.argv[1:])
