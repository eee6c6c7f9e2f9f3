"""Writes CARD.md for a model: its data with their licences, its recipe, and its scores, from the output of export.py and look.py.

    python card.py MODEL_FOLDER CACHE > MODEL_FOLDER/CARD.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy

import recipe

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "behaviour"))
import report  # noqa: E402

# Data set → (description, licence as stated in the data folder's SOURCES.md).
SETS = {
    "sentiment": ("SemEval-2017 task 4 A, the posts of 2013–2016 without TweetEval's validation and test", "repository MIT; posts under SemEval's and Twitter's terms"),
    "emotion": ("TweetEval emotion, train", "released without restrictions, but those of the task or of Twitter may apply"),
    "irony": ("TweetEval irony, train", "as TweetEval emotion"),
    "hate": ("TweetEval hate, train", "as TweetEval emotion"),
    "offensive": ("TweetEval offensive, train", "as TweetEval emotion"),
    "emoji": ("TweetEval emoji, train: which of 20 emoji a post carried", "as TweetEval emotion"),
    "goemotions": ("GoEmotions, train", "Apache-2.0 (CC BY 4.0 upstream)"),
    "valence": ("VADER's rated tweets, nine tenths", "MIT"),
    "davidson": ("Davidson's hate and offence", "MIT"),
    "topic2": ("SemEval-2017 task 4 B and D, sentiment towards a topic", "as sentiment"),
    "topic5": ("SemEval-2017 task 4 C and E, the same on five points", "as sentiment"),
    "crowdflower": ("CrowdFlower's text emotion", "none stated (upstream: open data)"),
    "plain": ("posts of the replayable streams (FiveThirtyEight, Broad Twitter Corpus, ARK, one Reddit forum), brands (Sanders), stance", "CC BY 4.0, CC BY, MIT; Sanders: none stated; stance: as TweetEval emotion"),
    "ec": ("SemEval-2018 task 1 E-c, train", "non-commercial research"),
    "ei_anger": ("SemEval-2018 task 1 EI-reg, anger, train; so fear, joy, sadness", "non-commercial research"),
    "valence_semeval": ("SemEval-2018 task 1 V-reg, train", "non-commercial research"),
    "tec": ("NRC's hashtag emotions", "research only"),
    "dair": ("a re-split of dair-ai's emotion", "none stated"),
    "mixture": ("a mixture of emotion sets", "none stated, sources unnamed"),
}
BARS = {
    "emotion": [("TimeLMs-2021, 125 M parameters", "80.2"), ("BERTweet, 125 M", "79.3"), ("RoBERTa-base, 125 M", "76.1"), ("SVM", "67.6"), ("a naive fine-tune of the same base", "77.6")],
    "sentiment": [("TimeLMs-2021, 125 M parameters", "73.7"), ("BERTweet, 125 M", "73.4"), ("RoBERTa-base, 125 M", "71.3"), ("SVM", "63.9"), ("VADER", "57.0"), ("a naive fine-tune of the same base", "70.6")],
}
NAMES = {
    "sentiment": "sentiment (TweetEval)",
    "emotion": "emotion (TweetEval)",
    "irony": "irony (TweetEval)",
    "hate": "hate (TweetEval)",
    "offensive": "offensive (TweetEval)",
    "goemotions": "GoEmotions, 28 labels",
    "ec": "SemEval-2018 E-c, 11 labels",
    "valence": "valence (SemEval-2018 V-reg)",
    **{f"ei_{name}": f"intensity of {name} (SemEval-2018 EI-reg)" for name in ("anger", "fear", "joy", "sadness")},
}


def percent(value) -> str:
    return f"{100 * value:.1f}"


def scored(value) -> str:
    point, low, high = value
    return f"{percent(point)} ({percent(low)}–{percent(high)})"


def rows(head: list[str], body: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in body]) + "\n"


def count(cache: Path, name: str) -> int:
    with numpy.load(cache / "tokens" / f"{name}.train.npz") as file:
        return len(file["targets"])


def data(cache: Path) -> str:
    permitted = [[SETS[name][0], f"{count(cache, name):,}", SETS[name][1]] for name in recipe.PERMITTED]
    restricted = [[SETS[name][0], f"{count(cache, name):,}", SETS[name][1]] for name in SETS if name not in recipe.PERMITTED]
    return (
        rows(["set", "posts", "licence as stated by its source"], permitted)
        + "\nThese sets are used only by the full model:\n\n"
        + rows(["set", "posts", "licence as stated by its source"], restricted)
    )


def tests(look: dict, full: dict) -> str:
    body = []
    for task, entry in look["tasks"].items():
        measure = next(iter(entry))
        other = full["tasks"].get(task, {}).get(measure)
        common = entry.get("majority")
        body.append([NAMES[task], measure, scored(entry[measure]), scored(other) if other else "–", percent(common) if common is not None else "–", f"{100 * entry['ece']:.1f}" if "ece" in entry else "–"])
        for further, value in entry.items():
            if isinstance(value, list) and len(value) == 3 and further != measure:
                other = full["tasks"].get(task, {}).get(further)
                body.append(["", further, scored(value), scored(other) if other else "–", "–", "–"])
    for task, entry in full["tasks"].items():
        if task not in look["tasks"]:
            measure = next(iter(entry))
            body.append([NAMES[task], measure, "–", scored(entry[measure]), percent(entry["majority"]) if "majority" in entry else "–", "–"])
    return rows(["task, test split", "measure", "this model", "full model", "majority class", "calibration error"], body)


def early(look: dict) -> str:
    body = []
    for task, entry in look["tasks"].items():
        measure = next(iter(entry))
        for layer in sorted({layer for exits in recipe.EXITS.values() for layer in exits}):
            if f"{measure} at layer {layer}" in entry:
                settled = entry.get(f"cascade at layer {layer}")
                body.append([NAMES[task], measure, str(layer), percent(entry[f"{measure} at layer {layer}"]), percent(entry[measure][0])] + ([percent(settled[0]), f"{percent(settled[1])} %"] if settled else ["–", "–"]))
    return rows(["task", "measure", "layer", "all posts at that layer", "all posts at the last layer", "early exit where sure", "posts that exit"], body)


def bias(look: dict) -> str:
    body = [[row["score"]] + [f"{part:+.3f}" for what in ("Gender", "Race") for part in row[what]] for row in look["equity"]]
    return rows(["score", "women − men, mean", "largest", "African-American − European names, mean", "largest"], body)


def bars(look: dict, full: dict) -> str:
    parts = []
    for task, others in BARS.items():
        measure = next(iter(look["tasks"][task]))
        body = [[name, value] for name, value in others]
        body += [["**this model, 22.8 M**", f"**{scored(look['tasks'][task][measure])}**"], ["the full model, 22.8 M", scored(full["tasks"][task][measure])]]
        parts.append(rows([NAMES[task], measure], body))
    return "\n".join(parts)


def main(folder: str, cache: str) -> None:
    folder, cache = Path(folder), Path(cache)
    config = json.loads((folder / "config.json").read_text())
    look = json.loads((cache / f"look.{config['version']}.json").read_text())
    full = json.loads((cache / "look.affect-l6-full-1.json").read_text())
    facts = json.loads((cache / f"facts.{config['version']}.json").read_text())
    # Written by `scripts/behaviour/run --json` with this model.
    behaviour = json.loads((cache / f"behaviour.{config['version']}.json").read_text())
    calibration = [[NAMES.get(task, task), f"{100 * fact['ece_uncalibrated']:.1f}", f"{100 * fact['ece']:.1f}"] for task, fact in facts.items() if "ece" in fact and "layer" not in task]
    validation = "; ".join(f"{task} {percent(fact['validation'])}" for task, fact in facts.items() if "layer" not in task)
    template = (Path(__file__).parent / "card.md").read_text()
    said = {
        "VERSION": config["version"],
        "DATA": data(cache),
        "BARS": bars(look, full),
        "TESTS": tests(look, full),
        "EARLY": early(look),
        "BIAS": bias(look),
        "CALIBRATION": rows(["task", "expected calibration error before, %", "after, %"], calibration),
        "VALIDATION": validation,
        "COUNT": str(len(behaviour["suite"])),
        "AREAS": report.areas(behaviour),
        "BEHAVIOUR": report.tests(behaviour),
        "DISTRESS": report.distress(behaviour["distress"]),
        "LOOKS": f"{look['looks']} (this model), {full['looks']} (the full model)",
        "TEACHERS": str(recipe.TEACHERS["student"]),
        "TEACHERS_FULL": str(recipe.TEACHERS["student-full"]),
    }
    for name, text in said.items():
        template = template.replace("{" + name + "}", text.rstrip("\n"))
    sys.stdout.write(template)


if __name__ == "__main__":
    main(*sys.argv[1:])
