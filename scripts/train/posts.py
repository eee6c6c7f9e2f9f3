"""Reads the labelled posts of the data folder: one list of posts for each task and split, without leaks.

A training post is dropped if its normalised text occurs in a validation or test split of any evaluated task, even if it
would train another task. So no test text is seen in training. The synthetic rows of SemEval-2018 (its `mystery` sentences, in the test files
only) are dropped when the files are read.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

SENTIMENT = ["negative", "neutral", "positive"]
EMOTION = ["anger", "joy", "optimism", "sadness"]
GOEMOTIONS = (
    "admiration amusement anger annoyance approval caring confusion curiosity desire disappointment disapproval disgust "
    "embarrassment excitement fear gratitude grief joy love nervousness optimism pride realization relief remorse sadness "
    "surprise neutral"
).split()
EC = "anger anticipation disgust fear joy love optimism pessimism sadness surprise trust".split()
# Kinds of distress, after whether there is any.
DISTRESS = ["any", "grief", "fear", "despair", "self_harm", "life", "eating", "abuse", "disaster"]
INTENSITIES = ["anger", "fear", "joy", "sadness"]
TEC = ["anger", "disgust", "fear", "joy", "sadness", "surprise"]
CROWDFLOWER = "neutral worry happiness sadness love surprise fun relief hate empty enthusiasm boredom anger".split()
DAIR = ["sadness", "joy", "love", "anger", "fear", "surprise"]
MIXTURE = ["joy", "sadness", "fear", "anger", "surprise", "neutral", "disgust", "shame"]
# GoEmotions' labels grouped by Ekman's emotions, from the authors' map.
EKMAN = {
    "anger": ["anger", "annoyance", "disapproval"],
    "disgust": ["disgust"],
    "fear": ["fear", "nervousness"],
    "joy": "joy amusement approval excitement gratitude love optimism relief pride admiration desire caring".split(),
    "sadness": "sadness disappointment embarrassment grief remorse".split(),
    "surprise": "surprise realization confusion curiosity".split(),
    "neutral": ["neutral"],
}


@dataclass(frozen=True)
class Task:
    """`kind` says how logits become scores. `shipped` is false for labels that only help training.

    `restricted` marks labels whose source is for research only, excludes commerce, or is a mixture of unnamed sources.
    """

    name: str
    kind: str
    labels: list[str]
    shipped: bool = True
    restricted: bool = False


TASKS = [
    Task("sentiment", "softmax", SENTIMENT),
    Task("emotion", "softmax", EMOTION),
    Task("goemotions", "sigmoid", GOEMOTIONS),
    Task("irony", "softmax", ["not", "irony"]),
    Task("hate", "softmax", ["not", "hate"]),
    Task("offensive", "softmax", ["not", "offensive"]),
    Task("valence", "regression", ["valence"]),
    # Learnt from posts that are written for this project, as the other sets have no labels for it.
    Task("distress", "sigmoid", DISTRESS),
    Task("davidson", "softmax", ["hate", "offensive", "neither"], shipped=False),
    Task("emoji", "softmax", [str(number) for number in range(20)], shipped=False),
    Task("topic2", "softmax", ["negative", "positive"], shipped=False),
    Task("topic5", "softmax", ["-2", "-1", "0", "1", "2"], shipped=False),
    Task("crowdflower", "softmax", CROWDFLOWER, shipped=False),
    Task("ec", "sigmoid", EC, restricted=True),
    *(Task(f"ei_{name}", "regression", [name], restricted=True) for name in INTENSITIES),
    Task("tec", "softmax", TEC, shipped=False, restricted=True),
    Task("dair", "softmax", DAIR, shipped=False, restricted=True),
    Task("mixture", "softmax", MIXTURE, shipped=False, restricted=True),
]
# Posts without labels: for masked words and for distillation.
PLAIN = "plain"
BY_NAME = {task.name: task for task in TASKS}
# Written posts (`generate.py`), and posts of the public streams of which only irony is known: it is rare. Both have labels for several tasks, side
# by side in this order; a label that is not known is NaN.
CONTRAST, ORDINARY = "contrast", "ordinary"
# The written posts about distress, and those that only resemble them: a set of their own, because they are few and need more passes.
CRISIS = "crisis"
WRITTEN = (CONTRAST, CRISIS)
TOLD_TASKS = ["sentiment", "emotion", "goemotions", "irony", "hate", "offensive", "valence", "distress"]
# Share of ironic posts among ordinary ones. Annotated streams have a few percent.
IRONY_AMONG_ORDINARY = 0.04
# The splits whose texts must not be used in training.
HELD_OUT = ("validation", "test")


def columns() -> dict[str, slice]:
    """Returns the place of each task among the labels of a written post."""
    found, begin = {}, 0
    for name in TOLD_TASKS:
        found[name] = slice(begin, begin + len(BY_NAME[name].labels))
        begin += len(BY_NAME[name].labels)
    return found


COLUMNS = columns()


def told(row: dict) -> list[float]:
    """Returns the labels of a row of `generate.py`, of all tasks side by side."""
    labels = [math.nan] * max(place.stop for place in COLUMNS.values())

    def put(task: str, values: list[float]) -> None:
        labels[COLUMNS[task]] = values

    if row["sentiment"]:
        low, _, high = row["sentiment"]
        put("sentiment", list(row["sentiment"]))
        put("valence", [0.5 + 0.4 * (high - low)])
    for task in ("irony", "hate", "offensive"):
        if row[task] is not None:
            put(task, [1 - row[task], row[task]])
    put("goemotions", [row["goemotions"].get(name, math.nan) for name in GOEMOTIONS])
    # TweetEval's four emotions exclude each other: only a post with exactly one of them says something.
    clear = [name for name in EMOTION if row["goemotions"].get(name, 0.0) >= 0.7]
    if len(clear) == 1:
        put("emotion", [0.91 if name == clear[0] else 0.03 for name in EMOTION])
    put("distress", [row["distress"].get(name, math.nan) for name in DISTRESS])
    return labels


def data_folder() -> Path:
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get("LIMBIC_DATA", default))


def normalised(text: str) -> str:
    """Returns a text's letters and digits, without mentions and links. Two texts of one post give the same result."""
    text = unicodedata.normalize("NFKC", text).lower().replace("&amp;", "&")
    text = re.sub(r"https?://\S+|\bhttp\b|@\w+", " ", text)
    return " ".join(re.findall(r"\w+", text)) or text.strip()


def unescaped(text: str) -> str:
    r"""Decodes \uXXXX escapes, which SemEval-2017's files and TweetEval's validation split of sentiment contain."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace('\\""', '"').replace('\\"', '"').replace("\\n", " ")


def lines(path: Path) -> list[str]:
    with open(path, encoding="utf-8", newline="\n") as rows:
        return [row.rstrip("\r\n") for row in rows]


def tweeteval(name: str):
    folder = data_folder() / "tweeteval" / name
    for split, stem in (("train", "train"), ("validation", "val"), ("test", "test")):
        if not (folder / f"{stem}_text.txt").exists():
            continue
        texts, labels = lines(folder / f"{stem}_text.txt"), lines(folder / f"{stem}_labels.txt")
        assert len(texts) == len(labels), (name, split)
        for text, label in zip(texts, labels):
            yield split, unescaped(text) if name == "sentiment" else text, int(label)


def sentiment_train():
    for row in lines(data_folder() / "sentiment_train_reconstructed" / "train.tsv")[1:]:
        _, _, label, text = row.split("\t", 3)
        yield "train", unescaped(text), int(label)


def goemotions():
    folder = data_folder() / "goemotions" / "original"
    for split, stem in (("train", "train"), ("validation", "dev"), ("test", "test")):
        for row in lines(folder / f"{stem}.tsv"):
            text, labels, _ = row.split("\t")
            named = {int(label) for label in labels.split(",")}
            yield split, text, [float(i in named) for i in range(len(GOEMOTIONS))]


def davidson():
    with open(data_folder() / "hate_offensive_davidson" / "labeled_data.csv", encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            yield "train", row["tweet"], int(row["class"])


def vader_tweets():
    for row in lines(data_folder() / "vader" / "tweets_GroundTruth.txt"):
        number, mean, text = row.split("\t", 2)
        # One tweet in ten, by its number, is for validation and calibration.
        yield "validation" if int(number) % 10 == 0 else "train", text, (float(mean) / 4 + 1) / 2


def semeval_2018(folder: str, stem: str):
    for split, name in (("train", "train"), ("validation", "dev"), ("test", "test-gold")):
        for row in lines(data_folder() / "semeval2018" / "task1" / folder / f"{stem}-{name}.txt")[1:]:
            fields = row.split("\t")
            if "mystery" not in fields[0]:
                yield split, fields[1], fields[2:]


def tec():
    for row in lines(data_folder() / "tec_hashtag_emotion" / "Jan9-2012-tweets-clean.txt"):
        _, _, rest = row.partition(":")
        text, _, label = rest.rpartition(":: ")
        if label in TEC:
            yield "train", text.strip(), TEC.index(label)


def table(path: Path) -> list[dict[str, str]]:
    # Some of these files contain several encodings.
    with open(path, encoding="utf-8", errors="replace", newline="") as rows:
        return list(csv.DictReader(rows))


def emoji():
    """Yields the emoji that a post carried: 20 labels set by the authors themselves."""
    for split, text, label in tweeteval("emoji"):
        if split == "train":
            yield split, text, label


def topics(folder: str, labels: dict[str, int]):
    """Yields SemEval-2017's sentiment towards a topic."""
    for path in sorted((data_folder() / "semeval2017_task4" / folder / "downloaded").iterdir()):
        for row in lines(path):
            fields = row.split("\t")
            if len(fields) >= 4 and fields[2] in labels and fields[3] != "Not Available":
                yield "train", unescaped(fields[3]), labels[fields[2]]


def crowdflower():
    for row in table(data_folder() / "crowdflower_text_emotion" / "text_emotion.csv"):
        yield "train", row["content"], CROWDFLOWER.index(row["sentiment"])


def dair():
    for row in lines(data_folder() / "dair_emotion_balanced" / "train.jsonl"):
        row = json.loads(row)
        yield "train", row["text"], row["label"]


def mixture():
    for row in table(data_folder() / "emotion_dataset_raw_mix" / "emotion_dataset_raw.csv"):
        yield "train", row["Text"], MIXTURE.index(row["Emotion"])


def plain():
    """Yields posts whose labels, if any, are not used."""
    folder = data_folder()
    for row in table(folder / "replay_mayweather_mcgregor" / "tweets.csv"):
        yield row["text"]
    for name in ("BarackObama", "realDonaldTrump"):
        for row in table(folder / "replay_twitter_ratio" / f"{name}.csv"):
            yield row["text"]
    for row in table(folder / "sanders_brands" / "full-corpus.csv"):
        yield row["TweetText"]
    for path in sorted((folder / "replay_broad_twitter_corpus").glob("*.json")):
        for row in lines(path):
            yield json.loads(row)["text"]
    for path in sorted((folder / "replay_ark_tweets").glob("*.tsv")):
        for row in lines(path):
            yield json.loads(row.split("\t", 2)[2])["text"]
    with open(folder / "replay_reddit" / "lifestyle_drunk.csv", encoding="utf-8", newline="") as rows:
        for row in csv.reader(rows):
            yield row[1]
    for path in sorted((folder / "tweeteval" / "stance").glob("*/train_text.txt")):
        yield from lines(path)


def calm_posts() -> list[str]:
    """Returns English posts without distress that are for development, most of them of cheerful crowds. They are never trained on."""
    here = Path(__file__).resolve()
    rows = [row.split("\t") for row in lines(here.parents[2] / "tests" / "data" / "evenings.tsv") if row and not row.startswith("#")]
    # The other half of the evenings is for tests only.
    evenings = [row[4] for row in rows if row[0] == "development" and row[1] == "cheer" and row[3] == "en"]
    written = [row.split("\t")[1] for row in lines(here.with_name("calm_posts.tsv")) if row and not row.startswith("#")]
    return evenings + written


def read() -> dict[str, dict[str, list]]:
    """Returns a list of (text, target) for each task and split: `read()[task][split]`."""
    found: dict[str, dict[str, list]] = defaultdict(lambda: defaultdict(list))

    def add(task, rows):
        for split, text, target in rows:
            found[task][split].append((text, target))

    for task in ("emotion", "irony", "hate", "offensive", "sentiment"):
        add(task, tweeteval(task))
    add("sentiment", sentiment_train())
    add("goemotions", goemotions())
    add("davidson", davidson())
    add("valence", vader_tweets())
    add("ec", ((split, text, [float(x) for x in rest]) for split, text, rest in semeval_2018("E-c", "E-c-En")))
    for name in INTENSITIES:
        add(f"ei_{name}", ((split, text, float(rest[1])) for split, text, rest in semeval_2018("EI-reg", f"EI-reg-En-{name}")))
    # Separate from VADER's tweets, from which the shipped model may learn valence.
    add("valence_semeval", ((split, text, float(rest[1])) for split, text, rest in semeval_2018("V-reg", "Valence-reg-En")))
    add("tec", tec())
    add("emoji", emoji())
    add("topic2", topics("Subtask_BD", {"negative": 0, "positive": 1}))
    add("topic5", topics("Subtask_CE", {str(number - 2): number for number in range(5)}))
    add("crowdflower", crowdflower())
    add("dair", dair())
    add("mixture", mixture())
    add(PLAIN, (("train", text, 0) for text in plain()))
    return without_leaks(found)


def without_leaks(found):
    held_out = {normalised(text) for splits in found.values() for split in HELD_OUT for text, _ in splits.get(split, ())}
    for task, splits in found.items():
        kept, seen = [], set()
        for text, target in splits["train"]:
            key = normalised(text)
            if not key or key in held_out or key in seen:
                continue
            seen.add(key)
            kept.append((text, target))
        print(f"{task}: train {len(kept)} of {len(splits['train'])}, " + ", ".join(f"{s} {len(splits[s])}" for s in HELD_OUT if s in splits))
        splits["train"] = kept
    return found


def equity_corpus():
    with open(data_folder() / "equity_evaluation_corpus" / "Equity-Evaluation-Corpus.csv", encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def as_json_lines(texts) -> str:
    return "".join(json.dumps(text) + "\n" for text in texts)
