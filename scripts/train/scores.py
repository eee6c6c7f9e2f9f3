"""The measures of the published tasks, the expected calibration error, and bootstrap intervals."""

from __future__ import annotations

import numpy

import posts


def f1(truth: numpy.ndarray, said: numpy.ndarray) -> float:
    both = float((truth & said).sum())
    total = float(truth.sum() + said.sum())
    return 2 * both / total if total else 0.0


def classes_f1(truth, said, classes) -> float:
    return float(numpy.mean([f1(truth == c, said == c) for c in classes]))


def macro_recall(truth, said, classes=(0, 1, 2)) -> float:
    return float(numpy.mean([(said[truth == c] == c).mean() if (truth == c).any() else 0.0 for c in classes]))


def labels_f1(truth, said) -> float:
    """Macro-F1 over the columns of two 0/1 matrices."""
    truth, said = truth > 0.5, said > 0.5
    return float(numpy.mean([f1(truth[:, i], said[:, i]) for i in range(truth.shape[1])]))


def labels_micro_f1(truth, said) -> float:
    return f1(truth > 0.5, said > 0.5)


def jaccard(truth, said) -> float:
    truth, said = truth > 0.5, said > 0.5
    either = (truth | said).sum(1)
    both = (truth & said).sum(1)
    return float(numpy.where(either == 0, 1.0, both / numpy.maximum(either, 1)).mean())


def pearson(truth, said) -> float:
    return float(numpy.corrcoef(truth, said)[0, 1])


def ekman(matrix: numpy.ndarray) -> numpy.ndarray:
    """Converts a matrix of GoEmotions' 28 labels to Ekman's 7. A group is present if any of its labels is present."""
    columns = [[posts.GOEMOTIONS.index(name) for name in names] for names in posts.EKMAN.values()]
    return numpy.stack([matrix[:, column].max(1) for column in columns], 1)


def softmax_error(truth, probabilities, bins: int = 15) -> float:
    """Expected calibration error of the most probable label."""
    confidence, said = probabilities.max(1), probabilities.argmax(1)
    return binned(confidence, (said == truth).astype(float), bins)


def sigmoid_error(truth, probabilities, bins: int = 15) -> float:
    """Expected calibration error over all (post, label) pairs."""
    return binned(probabilities.ravel(), truth.ravel(), bins)


def binned(confidence, right, bins: int) -> float:
    place = numpy.minimum((confidence * bins).astype(int), bins - 1)
    error = 0.0
    for number in range(bins):
        here = place == number
        if here.any():
            error += here.mean() * abs(confidence[here].mean() - right[here].mean())
    return float(error)


def interval(measure, truth, said, rounds: int = 1000, seed: int = 1) -> tuple[float, float, float]:
    """The measure with its 95 % bootstrap interval over posts."""
    random = numpy.random.default_rng(seed)
    draws = []
    for _ in range(rounds):
        pick = random.integers(0, len(truth), len(truth))
        draws.append(measure(truth[pick], said[pick]))
    return measure(truth, said), float(numpy.quantile(draws, 0.025)), float(numpy.quantile(draws, 0.975))


# Task → (name of its main measure, the measure as a function of true and predicted labels).
MEASURES = {
    "sentiment": ("macro-recall", macro_recall),
    "emotion": ("macro-F1", lambda t, s: classes_f1(t, s, range(4))),
    "goemotions": ("macro-F1 of 28", labels_f1),
    # TweetEval: F1 of the ironic class. The next two are macro-F1 over both classes.
    "irony": ("F1 of irony", lambda t, s: f1(t == 1, s == 1)),
    "hate": ("macro-F1", lambda t, s: classes_f1(t, s, (0, 1))),
    "offensive": ("macro-F1", lambda t, s: classes_f1(t, s, (0, 1))),
    "ec": ("Jaccard", jaccard),
    "valence": ("Pearson", pearson),
    **{f"ei_{name}": ("Pearson", pearson) for name in posts.INTENSITIES},
}
