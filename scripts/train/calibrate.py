"""Computes a task's entry of `config.json` from validation logits: temperature, biases, thresholds, and calibration errors."""

from __future__ import annotations

import numpy

import posts
import scores

# A label with fewer validation posts than this gets no separate threshold.
FEWEST = 30
# A task with fewer validation posts than this gets no biases towards rare labels.
FEWEST_POSTS = 500


def softmax(logits):
    powers = numpy.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + numpy.exp(-logits))


def best_temperature(loss) -> float:
    grid = numpy.exp(numpy.arange(-1.2, 1.21, 0.02))
    return float(round(grid[int(numpy.argmin([loss(t) for t in grid]))], 3))


def smoothed_best(grid, values, reach: int = 2) -> float:
    """Returns the grid point whose neighbourhood scores best. A validation split is small, so a single peak may be noise."""
    padded = numpy.pad(values, reach, mode="edge")
    means = [padded[i : i + 2 * reach + 1].mean() for i in range(len(values))]
    return float(grid[int(numpy.argmax(means))])


def softmax_task(task: str, logit, truth) -> tuple[dict, dict]:
    def loss(temperature):
        chance = softmax(logit / temperature)
        return -numpy.log(chance[numpy.arange(len(truth)), truth] + 1e-12).mean()

    temperature = best_temperature(loss)
    calibrated = logit / temperature
    prior = numpy.log(numpy.bincount(truth, minlength=logit.shape[1]) / len(truth))
    _, measure = scores.MEASURES[task]
    grid = numpy.arange(-0.5, 1.51, 0.05)
    moved = 0.0
    if len(truth) >= FEWEST_POSTS:
        moved = smoothed_best(grid, [measure(truth, (calibrated - a * prior).argmax(1)) for a in grid], 3)
    biases = -moved * prior
    biases -= biases.mean()
    config = {"temperature": temperature, "biases": [round(float(b), 4) for b in biases]}
    facts = {
        "ece": scores.softmax_error(truth, softmax(calibrated)),
        "ece_uncalibrated": scores.softmax_error(truth, softmax(logit)),
        "ece_with_biases": scores.softmax_error(truth, softmax(calibrated + biases)),
        "validation": measure(truth, (calibrated + biases).argmax(1)),
        "validation_without_biases": measure(truth, logit.argmax(1)),
        "moved": moved,
    }
    return config, facts


# The least recall of a task whose posts must not be missed: each threshold is the highest that keeps it.
LEAST_RECALL = {"distress": 0.95}
# But at most these shares of ordinary posts may reach a threshold, even if recall falls: an alarm that most posts raise protects nobody. The first
# share is of the public streams, the second one of written calm posts: cheerful crowds and ordinary days, told in short scenes as distress is.
MOST_ORDINARY = {"distress": (0.02, 0.05)}


def sigmoid_task(task: str, logit, truth, ordinary=None) -> tuple[dict, dict]:
    """Labels that are NaN are not known, and count nowhere. `ordinary` has the logits of each kind of ordinary posts, for a task that needs them."""
    known = ~numpy.isnan(truth)

    def loss(temperature):
        return (numpy.logaddexp(0, logit / temperature) - truth * logit / temperature)[known].mean()

    temperature = best_temperature(loss)
    chance = sigmoid(logit / temperature)
    grid = numpy.arange(0.06, 0.71, 0.02)
    if task in LEAST_RECALL:
        thresholds = [recall_threshold(truth[:, label], chance[:, label], LEAST_RECALL[task]) for label in range(truth.shape[1])]
        if ordinary is None:
            raise ValueError(f"the thresholds of {task} need the logits of ordinary posts")
        among = [numpy.quantile(sigmoid(one / temperature), 1 - most, axis=0) for one, most in zip(ordinary, MOST_ORDINARY[task], strict=True)]
        among = numpy.max(among, axis=0)
        thresholds = [round(float(max(own, least)), 3) for own, least in zip(thresholds, among)]
        found = chance[:, 0][truth[:, 0] > 0.5] >= thresholds[0]
        alarms = chance[:, 0][truth[:, 0] <= 0.5] >= thresholds[0]
        facts = {"ece": scores.sigmoid_error(truth[known], chance[known]), "ece_uncalibrated": scores.sigmoid_error(truth[known], sigmoid(logit)[known])}
        precision = float(found.sum() / max(found.sum() + alarms.sum(), 1))
        return {"temperature": temperature, "thresholds": thresholds}, facts | {"validation": float(found.mean()), "precision": precision}
    macro = [scores.labels_f1(truth, chance >= t) for t in grid]
    common = smoothed_best(grid, macro)
    thresholds = []
    for label in range(truth.shape[1]):
        own = smoothed_best(grid, [scores.f1(truth[:, label] > 0.5, chance[:, label] >= t) for t in grid])
        # The label's own threshold counts more, the more posts the label has.
        weight = min(1.0, truth[:, label].sum() / (3 * FEWEST))
        thresholds.append(round(float(weight * own + (1 - weight) * common), 3))
    said = chance >= numpy.array(thresholds)
    config = {"temperature": temperature, "thresholds": thresholds}
    facts = {
        "ece": scores.sigmoid_error(truth, chance),
        "ece_uncalibrated": scores.sigmoid_error(truth, sigmoid(logit)),
        "validation": scores.MEASURES[task][1](truth, said),
        "validation_at_half": scores.MEASURES[task][1](truth, chance >= 0.5),
    }
    return config, facts


def recall_threshold(truth, chance, least: float) -> float:
    """Returns the highest threshold at which the share `least` of the posts with the label is found."""
    positive = numpy.sort(chance[truth > 0.5])
    if not len(positive):
        return 0.5
    return round(float(min(0.5, positive[int((1 - least) * len(positive))])), 3)


def regression_task(task: str, logit, truth) -> tuple[dict, dict]:
    said = sigmoid(logit[:, 0])
    facts = {"validation": scores.pearson(truth, said), "mean_error": float(numpy.abs(truth - said).mean())}
    return {"temperature": 1.0, "range": [-1.0, 1.0] if task == "valence" else [0.0, 1.0]}, facts


KINDS = {"softmax": softmax_task, "sigmoid": sigmoid_task, "regression": regression_task}


def probabilities(config: dict, logit):
    """Returns the probabilities that the engine computes from logits."""
    scaled = logit / config["temperature"] + numpy.array(config.get("biases", 0.0))
    return softmax(scaled) if config["kind"] == "softmax" else sigmoid(scaled)


def said(config: dict, logit):
    """Returns the labels, or the number, that a reading shows."""
    chance = probabilities(config, logit)
    if config["kind"] == "softmax":
        return chance.argmax(1)
    if config["kind"] == "sigmoid":
        return (chance >= numpy.array(config["thresholds"])).astype(float)
    return chance[:, 0]


def confidence_for(task: str, early: dict, early_logit, late: dict, late_logit, truth, allowed: float = 0.005) -> tuple[float, float, float]:
    """Returns the lowest confidence at which early exit costs at most `allowed` of the measure, the share that exits, and the measure."""
    _, measure = scores.MEASURES[task]
    chance = probabilities(early, early_logit)
    first, last = chance.argmax(1), said(late, late_logit)
    whole = measure(truth, last)
    for least in numpy.arange(0.40, 1.0, 0.01):
        sure = chance.max(1) >= least
        mixed = measure(truth, numpy.where(sure, first, last))
        if mixed >= whole - allowed:
            return round(float(least), 2), float(sure.mean()), mixed
    return 1.0, 0.0, whole
