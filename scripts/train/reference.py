"""Writes the shipped model's outputs in 32-bit arithmetic, for the engine's tests: one JSON object for each post.

    python reference.py MODEL_FOLDER CACHE TOKENISE_PROGRAM crates/science/affect/tests/texts/posts.txt > crates/science/affect/tests/fixtures/affect-l6.jsonl

`{"ids": […], "heads": {task: […]}, "exits": {"2": {task: […]}}}`, in the order of the lines. The weights are the 16-bit
numbers of the file, converted to 32 bits. The outputs are calibrated as `config.json` says.
"""

import json
import sys
from pathlib import Path

import base
import calibrate
import export
import posts
import predict
from prepare import tokenise


def numbers(config: dict, logits):
    chance = calibrate.probabilities(config, logits)
    if config["kind"] == "regression":
        low, high = config["range"]
        chance = low + (high - low) * chance
    return chance


def main(folder: str, cache: str, program: str, texts: str) -> None:
    lines = posts.lines(Path(texts))
    ids = tokenise([program], base.VOCABULARY, lines)
    config = json.loads((Path(folder) / "config.json").read_text())
    tasks = {task["name"]: task for task in config["tasks"]}
    found = predict.logits(export.load(Path(folder)), ids, list(tasks), posts_a_batch=1)
    said = {}
    for (layer, task), logits in found.items():
        own = tasks[task]
        if layer != config["layers"]:
            there = next(made for made in config["exits"] if made["layer"] == layer)
            own = {"kind": own["kind"], "temperature": there["temperature"][task], "biases": there["biases"].get(task, 0.0)}
        said[layer, task] = numbers(own, logits)
    for number, row in enumerate(ids):
        record: dict = {"ids": row, "heads": {}, "exits": {}}
        for (layer, task), values in said.items():
            where = record["heads"] if layer == config["layers"] else record["exits"].setdefault(str(layer), {})
            where[task] = [round(float(x), 5) for x in values[number]]
        print(json.dumps(record, separators=(",", ":")))


if __name__ == "__main__":
    main(*sys.argv[1:])
