"""Logits of every head in 32-bit arithmetic, for the engine's tests: one JSON object a post.

    python reference.py MODEL_FOLDER CACHE TOKENISE_PROGRAM crates/affect/tests/texts/posts.txt > crates/affect/tests/fixtures/affect-l6.jsonl

`{"ids": […], "heads": {task: […]}, "exits": {"2": {task: […]}}}`, in the order of the lines. The weights are the file's, 16-bit
numbers widened to 32; nothing is calibrated.
"""

import json
import sys
from pathlib import Path

import torch

import base
import export
import posts
import predict
from encoder import LAYERS
from prepare import tokenise


def main(folder: str, cache: str, program: str, texts: str) -> None:
    torch.set_num_threads(1)
    lines = posts.lines(Path(texts))
    ids = tokenise([program], base.VOCABULARY, lines)
    config = json.loads((Path(folder) / "config.json").read_text())
    found = predict.logits(export.load(Path(folder), Path(cache)), ids, [task["name"] for task in config["tasks"]], posts_a_batch=1)
    for number, row in enumerate(ids):
        record: dict = {"ids": row, "heads": {}, "exits": {}}
        for (layer, task), logits in found.items():
            where = record["heads"] if layer == LAYERS else record["exits"].setdefault(str(layer), {})
            where[task] = [round(float(x), 4) for x in logits[number]]
        print(json.dumps(record, separators=(",", ":")))


if __name__ == "__main__":
    main(*sys.argv[1:])
