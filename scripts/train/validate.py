"""Scores the final weights of a stage on validation splits, uncalibrated, to compare choices. It never uses a test split. A star in the
name averages the outputs of several seeds.

    python validate.py CACHE STAGE.SEED [TASK…]          # python validate.py ~/.cache/limbic/train 'teacher.*' emotion
"""

import sys
from pathlib import Path

import numpy
import torch

import base
import calibrate
import posts
import predict
import recipe
import scores

STEMS = {"valence": ["valence", "valence_semeval"]}
USUAL = ["sentiment", "emotion", "irony", "hate", "offensive", "goemotions", "valence"]


def best_offset(measure, chance, truth):
    """Returns the best score over one offset (how far labels are moved towards equal priors), and that offset."""
    prior = numpy.log(numpy.bincount(truth, minlength=chance.shape[1]) / len(truth))
    return max((round(measure(truth, (numpy.log(chance) - a * prior).argmax(1)), 4), round(float(a), 1)) for a in numpy.arange(0, 1.3, 0.1))


def main(cache: str, stage: str, *wanted: str) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tasks = wanted or USUAL
    found: dict = {}
    paths = sorted(Path(cache).glob(f"{stage}/weights.safetensors"))
    for path in paths:
        made = recipe.STAGES[path.parent.name.split(".")[0]]
        model = base.load(base.blank(len(base.pieces()), made.depth), base.started(Path(cache), path.parent.name))
        model.to(device)
        for task in tasks:
            for stem in STEMS.get(task, [task]):
                rows, truth = predict.ragged(Path(cache) / "tokens" / f"{stem}.validation.npz")
                for (layer, _), logit in predict.logits(model, rows, [task], 512).items():
                    chance = calibrate.softmax(logit) if posts.BY_NAME[task].kind == "softmax" else calibrate.sigmoid(logit)
                    found.setdefault((stem, task, layer), []).append((chance, truth))
    for (stem, task, layer), parts in found.items():
        chance, truth = sum(part for part, _ in parts) / len(parts), parts[0][1]
        name, measure = scores.MEASURES[task]
        kind = posts.BY_NAME[task].kind
        if kind == "softmax":
            single = [round(measure(truth, part.argmax(1)), 4) for part, _ in parts] if layer == made.depth else ""
            said = f"{measure(truth, chance.argmax(1)):.4f}; moved {best_offset(measure, chance, truth)}; singly {single}"
        elif kind == "sigmoid":
            said = f"at .3 {measure(truth, chance > 0.3):.4f}, at .5 {measure(truth, chance > 0.5):.4f}"
        else:
            said = f"{measure(truth, chance[:, 0]):.4f}"
        print(f"{stage} {stem} at {layer}: {name} {said}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
