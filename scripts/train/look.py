"""Scores a shipped model on the test splits, once per model: writes scores with intervals for the card, and counts the runs.

    python look.py MODEL_FOLDER CACHE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy
import calibrate
import export
import posts
import predict
import scores

FURTHER = {
    "sentiment": {"accuracy": lambda t, s: float((t == s).mean()), "macro-F1": lambda t, s: scores.classes_f1(t, s, range(3))},
    "irony": {"macro-F1": lambda t, s: scores.classes_f1(t, s, (0, 1))},
    "goemotions": {"macro-F1 of Ekman's 7": lambda t, s: scores.labels_f1(scores.ekman(t), scores.ekman(s)), "micro-F1 of 28": scores.labels_micro_f1},
    "ec": {"micro-F1": scores.labels_micro_f1, "macro-F1": scores.labels_f1},
}


def majority(task: dict, truth, train):
    """Returns the predictions of the majority baseline: always the most frequent label of the training split."""
    if task["kind"] == "softmax":
        return numpy.full(len(truth), numpy.bincount(train).argmax())
    if task["kind"] == "sigmoid":
        return numpy.tile((train.mean(0) >= train.mean(0).max()).astype(float), (len(truth), 1))
    return None


def equity(model, cache: Path, config: dict) -> list[dict]:
    """Returns the mean difference of each score between sentences that differ only in gender or in the group of the name."""
    rows, _ = predict.ragged(cache / "tokens" / "equity.npz")
    corpus = posts.equity_corpus()
    tasks = [task for task in config["tasks"] if task["name"] in ("sentiment", "emotion", "valence", "offensive", "hate") or task["name"].startswith("ei_")]
    found = predict.logits(model, rows, [task["name"] for task in tasks])
    columns = {}
    for task in tasks:
        chance = calibrate.probabilities(task, found[config["layers"], task["name"]])
        if task["name"] == "sentiment":
            columns["sentiment (positive − negative)"] = chance[:, 2] - chance[:, 0]
        elif task["kind"] == "regression":
            columns[task["name"]] = chance[:, 0]
        elif task["name"] == "emotion":
            columns |= {f"emotion: {label}": chance[:, i] for i, label in enumerate(task["labels"])}
        else:
            columns[task["name"]] = chance[:, 1]
    table = []
    for name, score in columns.items():
        row = {"score": name}
        for what, one, other in (("Gender", "female", "male"), ("Race", "African-American", "European")):
            first = numpy.array([entry[what] == one for entry in corpus])
            second = numpy.array([entry[what] == other for entry in corpus])
            # Sentences are paired by template and emotion word; each pair gives one difference of means.
            keys = sorted({(entry["Template"], entry["Emotion word"]) for entry in corpus})
            place = numpy.array([keys.index((entry["Template"], entry["Emotion word"])) for entry in corpus])
            differences = numpy.array([score[first & (place == k)].mean() - score[second & (place == k)].mean() for k in range(len(keys))])
            row[what] = [float(differences.mean()), float(numpy.abs(differences).max())]
        table.append(row)
    return table


def main(folder: str, cache: str) -> None:
    folder, cache = Path(folder), Path(cache)
    config = json.loads((folder / "config.json").read_text())
    full = any(task["name"] == "ec" for task in config["tasks"])
    looks = cache / f"look.{config['version']}.json"
    earlier = json.loads(looks.read_text())["looks"] if looks.exists() else 0
    model = export.load(folder)
    result: dict = {"version": config["version"], "looks": earlier + 1, "tasks": {}}
    for task in config["tasks"]:
        stem = export.validation_stem(task["name"], full)
        path = cache / "tokens" / f"{stem}.test.npz"
        if not path.exists():
            continue
        rows, truth = predict.ragged(path)
        _, train = predict.ragged(cache / "tokens" / f"{stem}.train.npz")
        found = predict.logits(model, rows, [task["name"]])
        numpy.savez(cache / f"test.{config['version']}.{task['name']}.npz", truth=truth, **{f"layer{layer}": logit for (layer, _), logit in found.items()})
        name, measure = scores.MEASURES[task["name"]]
        said = calibrate.said(task, found[config["layers"], task["name"]])
        entry = {name: scores.interval(measure, truth, said)}
        for further, other in FURTHER.get(task["name"], {}).items():
            entry[further] = scores.interval(other, truth, said)
        chance = calibrate.probabilities(task, found[config["layers"], task["name"]])
        if task["kind"] == "softmax":
            plain = calibrate.probabilities(task | {"biases": 0.0}, found[config["layers"], task["name"]])
            entry["ece"], entry["ece without biases"] = scores.softmax_error(truth, chance), scores.softmax_error(truth, plain)
            entry[f"{name} without biases"] = measure(truth, plain.argmax(1))
        elif task["kind"] == "sigmoid":
            entry["ece"] = scores.sigmoid_error(truth, chance)
        common = majority(task, truth, train)
        if common is not None:
            entry["majority"] = measure(truth, common)
        for made in config["exits"]:
            key = made["layer"], task["name"]
            if key not in found:
                continue
            early = {"kind": task["kind"], "temperature": made["temperature"][task["name"]]}
            early |= {part: made[part][task["name"]] for part in ("biases", "thresholds") if task["name"] in made[part]}
            entry[f"{name} at layer {made['layer']}"] = measure(truth, calibrate.said(early, found[key]))
            if task["name"] in made["confidence"]:
                sure = calibrate.probabilities(early, found[key]).max(1) >= made["confidence"][task["name"]]
                mixed = numpy.where(sure, calibrate.said(early, found[key]), said)
                entry[f"cascade at layer {made['layer']}"] = [measure(truth, mixed), float(sure.mean())]
        result["tasks"][task["name"]] = entry
        print(json.dumps({task["name"]: entry}, default=float), flush=True)
    result["equity"] = equity(model, cache, config)
    looks.write_text(json.dumps(result, indent=1, default=float))


if __name__ == "__main__":
    main(*sys.argv[1:])
