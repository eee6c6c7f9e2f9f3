"""Tokenises every post once, with the engine's own tokeniser, and writes arrays to the cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy

import generate
import posts

MOST_TOKENS = 128
# Share of each training set that is kept. Less than 1 is for a trial run (`run --try`).
SHARE = float(os.environ.get("LIMBIC_TRAIN_SHARE", "1"))


def tokenise(program: list[str], vocabulary: Path, texts: list[str]) -> list[list[int]]:
    done = subprocess.run(
        [*program, str(vocabulary), str(MOST_TOKENS)], input=posts.as_json_lines(texts), capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def save(path: Path, ids: list[list[int]], targets, **further) -> None:
    """Writes ragged ids as one array with offsets: first to a temporary file, then renamed."""
    offsets = numpy.cumsum([0, *map(len, ids)]).astype(numpy.int32)
    aside = path.with_suffix(".part")
    with open(aside, "wb") as file:
        numpy.savez(file, ids=numpy.fromiter((i for row in ids for i in row), numpy.uint16), offsets=offsets, targets=targets, **further)
    aside.replace(path)


# One template of the posts about distress in so many is kept for validation, with all its spellings.
DISTRESS_HELD_OUT = 6


def written(held_out: set[str]) -> tuple[list[dict], list[dict]]:
    """Returns the written posts for training, and those about distress for validation."""
    rows = [row for row in generate.Rows(seed=7).all() if posts.normalised(row["text"]) not in held_out]
    validation = [row for row in rows if row.get("template", 1) % DISTRESS_HELD_OUT == 0]
    training = [row for row in rows if row.get("template", 1) % DISTRESS_HELD_OUT]
    # A trial run keeps whole groups.
    every = max(1, round(1 / SHARE) // 10)
    return [row for place, row in enumerate(training) if (place if row["group"] is None else row["group"]) % every == 0], validation


def save_written(program: list[str], vocabulary: Path, folder: Path, found: dict) -> None:
    held_out = {posts.normalised(text) for splits in found.values() for split in posts.HELD_OUT for text, _ in splits.get(split, ())}
    training, validation = written(held_out)
    ids = tokenise(program, vocabulary, [row["text"] for row in training + validation])
    targets = numpy.array([posts.told(row) for row in training], numpy.float32)
    groups, ranks = (numpy.array([-1 if row[key] is None else row[key] for row in training]) for key in ("group", "rank"))
    is_crisis = numpy.array(["template" in row for row in training])
    for name, which in ((posts.CONTRAST, numpy.flatnonzero(~is_crisis)), (posts.CRISIS, numpy.flatnonzero(is_crisis))):
        save(folder / f"{name}.train.npz", [ids[place] for place in which], targets[which], groups=groups[which], ranks=ranks[which])
    place = posts.COLUMNS["distress"]
    known = numpy.array([posts.told(row)[place] for row in validation], numpy.float32)
    # Of a post in distress only its own kind is known. The others are not counted against the head: they are left as they are.
    save(folder / "distress.validation.npz", ids[len(training) :], known)
    print(f"written: {len(training)} posts in {len(set(groups))} groups, {is_crisis.sum()} about distress; distress.validation: {len(validation)} posts")
    # The posts of the public streams once more, with the prior of irony as their only label.
    with numpy.load(folder / f"{posts.PLAIN}.train.npz") as plain:
        prior = numpy.full((len(plain["targets"]), targets.shape[1]), numpy.nan, numpy.float32)
        prior[:, posts.COLUMNS["irony"]] = [1 - posts.IRONY_AMONG_ORDINARY, posts.IRONY_AMONG_ORDINARY]
        with open(folder / f"{posts.ORDINARY}.train.npz", "wb") as file:
            numpy.savez(file, ids=plain["ids"], offsets=plain["offsets"], targets=prior)


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
    calm = tokenise([program], Path(vocabulary), posts.calm_posts())
    save(folder / "calm.npz", calm, numpy.zeros(len(calm)))
    save_written([program], Path(vocabulary), folder, found)


if __name__ == "__main__":
    main(*sys.argv[1:])
