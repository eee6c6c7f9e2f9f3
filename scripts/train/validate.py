"""Scores of a checkpoint on validation splits, uncalibrated: to choose by, never a test.

    python validate.py CHECKPOINT.pt TOKENS_FOLDER [values|averages] [TASK…]
"""

import sys
from pathlib import Path

import numpy
import torch

import base
import posts
import predict
import scores

STEMS = {"valence": ["valence", "valence_semeval"]}


def best_offset(task: str, measure, logit, truth):
    """The best score over one number: how far towards equal priors labels are moved."""
    prior = numpy.log(numpy.bincount(truth, minlength=logit.shape[1]) / len(truth))
    return max((measure(truth, (logit - a * prior).argmax(1)), a) for a in numpy.arange(0, 1.3, 0.1))


def main(checkpoint: str, tokens: str, which: str = "averages", *wanted: str) -> None:
    torch.set_num_threads(1)
    model = base.model(Path(tokens).parent)
    kept = torch.load(checkpoint, weights_only=True)
    model.load_state_dict(kept[which])
    print(f"step {kept['step']} of {kept['steps']}, {which}")
    for task in wanted or ["emotion", "sentiment"]:
        for stem in STEMS.get(task, [task]):
            rows, truth = predict.ragged(Path(tokens) / f"{stem}.validation.npz")
            name, measure = scores.MEASURES[task]
            for (layer, _), logit in predict.logits(model, rows, [task]).items():
                kind = posts.BY_NAME[task].kind
                if kind == "softmax":
                    plain = measure(truth, logit.argmax(1))
                    print(f"{task} at {layer}: {name} {plain:.4f}; moved: {best_offset(task, measure, logit, truth)}")
                elif kind == "sigmoid":
                    print(f"{task} at {layer}: {name} at 0.3: {measure(truth, logit > -0.85):.4f}, at 0.5: {measure(truth, logit > 0):.4f}")
                else:
                    print(f"{stem} at {layer}: {name} {measure(truth, logit[:, 0]):.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
