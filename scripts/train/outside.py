"""Says how well the sentiment of a model is calibrated on five sets whose labels nobody learnt from.

    python outside.py TOKENISE MODEL_FOLDER        # TOKENISE: target/release/examples/tokenise

Sanders' brands have labels of three classes (their texts, without labels, are among the public streams). The reviews of products, the films and
the editorials that were rated for VADER have means from -4 to 4: up to -0.5 is negative, from 0.5 on positive. SemEval-2018's ordinal valence has
classes from -3 to 3. Of it, the training part is used, which the shipped model does not learn from. No number is chosen here.
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
from prepare import tokenise

LEANING = 0.5


def class_of(rating: float, limit: float = LEANING) -> int:
    return 0 if rating <= -limit else 2 if rating >= limit else 1


def rated(name: str):
    for row in posts.lines(posts.data_folder() / "vader" / f"{name}_GroundTruth.txt"):
        _, mean, text = row.split("\t", 2)
        yield text, class_of(float(mean))


def brands():
    names = {"negative": 0, "neutral": 1, "positive": 2}
    for row in posts.table(posts.data_folder() / "sanders_brands" / "full-corpus.csv"):
        if row["Sentiment"] in names:
            yield row["TweetText"], names[row["Sentiment"]]


def ordinal_valence():
    for row in posts.lines(posts.data_folder() / "semeval2018" / "task1" / "V-oc" / "Valence-oc-En-train.txt")[1:]:
        _, text, _, label = row.split("\t")
        yield text, class_of(float(label.split(":")[0]))


SETS = {
    "brands (Sanders)": brands,
    "reviews of products (VADER)": lambda: rated("amazonReviewSnippets"),
    "films (VADER)": lambda: rated("movieReviewSnippets"),
    "editorials (VADER)": lambda: rated("nytEditorialSnippets"),
    "valence of tweets (SemEval-2018)": ordinal_valence,
}


def main(program: str, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    task = next(one for one in config["tasks"] if one["name"] == "sentiment")
    model = export.load(folder)
    print("| set | posts | accuracy | calibration error (95 %) | mean confidence |\n|---|---|---|---|---|")
    for name, read in SETS.items():
        texts, labels = zip(*read(), strict=True)
        truth = numpy.array(labels)
        ids = tokenise([program], folder / "vocab.txt", list(texts))
        logit = predict.logits(model, ids, ["sentiment"])[model.depth, "sentiment"]
        chance = calibrate.probabilities(task, logit)
        error, low, high = scores.interval(scores.softmax_error, truth, chance, rounds=300)
        right = (chance.argmax(1) == truth).mean()
        print(f"| {name} | {len(truth):,} | {100 * right:.1f} % | {100 * error:.1f} % ({100 * low:.1f}–{100 * high:.1f}) | {100 * chance.max(1).mean():.1f} % |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
