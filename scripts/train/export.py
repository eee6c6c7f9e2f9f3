"""Writes a model's folder: 16-bit weights and `config.json`, calibrated on validation splits.

    python export.py STAGE.SEED CACHE MODEL_FOLDER VERSION [--full]
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file, save_file

import base
import calibrate
import posts
import predict
import recipe
import teach
from encoder import EPS, HEADS, HIDDEN, INTERMEDIATE, Encoder
from prepare import MOST_TOKENS


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def validation_stem(task: str, full: bool) -> str:
    """Returns the stem of a task's validation file. The full model's valence is measured on SemEval's."""
    return "valence_semeval" if task == "valence" and full else task


def load(folder: Path) -> Encoder:
    """Returns the model as shipped: 16-bit weights, converted to 32 bits for computation."""
    depth = json.loads((folder / "config.json").read_text())["layers"]
    return base.load(base.blank(len(base.pieces()), depth), {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()})


# Ordinary posts whose alarms are counted.
ORDINARY_POSTS = 3000


def ordinary(model: Encoder, cache: Path, task: str) -> list:
    """Returns the logits of some posts of the public streams, and of the written calm posts that are for development."""
    rows, _ = predict.ragged(cache / "tokens" / f"{posts.PLAIN}.train.npz")
    which = numpy.random.default_rng(3).choice(len(rows), min(ORDINARY_POSTS, len(rows)), replace=False)
    calm, _ = predict.ragged(cache / "tokens" / "calm.npz")
    return [predict.logits(model, kind, [task])[model.depth, task] for kind in ([rows[i] for i in which], calm)]


def calibrated(model: Encoder, cache: Path, tasks: list[posts.Task], full: bool) -> tuple[list[dict], list[dict], dict]:
    """Returns the tasks and exits of the config, and the facts for the model card."""
    entries, exits, facts = [], {}, {}
    for task in tasks:
        rows, truth = predict.ragged(cache / "tokens" / f"{validation_stem(task.name, full)}.validation.npz")
        found = predict.logits(model, rows, [task.name])
        further = [ordinary(model, cache, task.name)] if task.name in calibrate.MOST_ORDINARY else []
        own, fact = calibrate.KINDS[task.kind](task.name, found[model.depth, task.name], truth, *further)
        entry = {"name": task.name, "kind": task.kind, "labels": task.labels, **own}
        entries.append(entry)
        facts[task.name] = fact
        for layer, names in recipe.EXITS[model.depth].items():
            if task.name not in names:
                continue
            early, fact = calibrate.KINDS[task.kind](task.name, found[layer, task.name], truth)
            facts[f"{task.name} at layer {layer}"] = fact
            made = exits.setdefault(layer, {"layer": layer, "tasks": [], "temperature": {}, "biases": {}, "thresholds": {}, "confidence": {}})
            made["tasks"].append(task.name)
            made["temperature"][task.name] = early["temperature"]
            for key in ("biases", "thresholds"):
                if key in early:
                    made[key][task.name] = early[key]
            if task.kind == "softmax":
                early = {"kind": task.kind, **early}
                least, share, kept = calibrate.confidence_for(task.name, early, found[layer, task.name], entry, found[model.depth, task.name], truth)
                made["confidence"][task.name] = least
                fact |= {"confidence": least, "settles": share, "cascade": kept}
        print(json.dumps({task.name: facts[task.name]}, default=float), flush=True)
    return entries, list(exits.values()), facts


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("stage")
    arguments.add_argument("cache", type=Path)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("version")
    arguments.add_argument("--full", action="store_true")
    given = arguments.parse_args()
    stage = recipe.STAGES[given.stage.split(".")[0]]
    model = base.blank(len(base.pieces()), stage.depth)
    kept = base.started(given.cache, given.stage)
    learnt = {task.name for task in teach.tasks_of(stage)}
    tasks = [task for task in posts.TASKS if task.name in learnt and (given.full or not task.restricted)]
    names = {task.name for task in tasks}

    def shipped(name: str) -> bool:
        part = name.split(".")
        return {"heads": lambda: part[1] in names, "exits": lambda: part[2] in names}.get(part[0], lambda: True)()

    weights = {name: tensor.half().contiguous() for name, tensor in kept.items() if shipped(name)}
    model.load_state_dict({name: weights[name].float() if name in weights else tensor for name, tensor in kept.items()})
    entries, exits, facts = calibrated(model, given.cache, tasks, given.full)
    given.folder.mkdir(parents=True, exist_ok=True)
    aside = given.folder / "model.part"
    save_file(weights, aside)
    aside.replace(given.folder / "model.safetensors")
    config = {
        "format": 1,
        "version": given.version,
        "hidden_size": HIDDEN,
        "layers": stage.depth,
        "attention_heads": HEADS,
        "intermediate_size": INTERMEDIATE,
        "layer_norm_eps": EPS,
        "max_tokens": MOST_TOKENS,
        "tasks": entries,
        "exits": exits,
        "sha256": {
            "model.safetensors": digest(given.folder / "model.safetensors"),
            "vocab.txt": digest(base.VOCABULARY),
        },
    }
    (given.folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    (given.cache / f"facts.{given.version}.json").write_text(json.dumps(facts, indent=1, default=float))


if __name__ == "__main__":
    main()
