"""The recipe: data sets, passes, learning rates, and every other number that is a choice.

    pretrain          masked words and the emoji that a post carried, on every permitted post
    teacher, 4 seeds  all tasks at once; each post is read twice under dropout, and R-Drop keeps the two outputs close
    student           starts from the mean of the teachers' weights and learns their mean scores on every post, mixed with labels

    deep              12 layers with early exits: all tasks and the written posts at once, with consistency losses
    small             the shipped model of 6 layers goes on: it learns the written posts, and its own scores and those of the deep model
    further           the same once more, with distress that real posts do not tell of, and more weight for what is rare in ordinary posts
    scenes            a short one: scenes of crowds and of ordinary days, which are no distress
    hints             another short one: distress that is only hinted at, cheerful posts in the same words, and irony that is rare in ordinary posts
    opinion           12 layers, sentiment alone
    meant             the small model once more, with many further templates, slips of typing, and the sentiment of `opinion`
    stands            and again, with judgements that stand for every speaker, and more weight for likeness within groups

The `-full` stages also use the data sets for research only, and fewer teachers. They show what the shipped model loses without those sets.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

# The layers with early exits of a model of so many layers, and the tasks that have a head there.
EXIT_TASKS = ["sentiment", "emotion", "goemotions"]
EXITS = {6: {2: EXIT_TASKS, 3: EXIT_TASKS}, 12: {3: EXIT_TASKS, 6: EXIT_TASKS}}
EXIT_WEIGHT = 0.25
# Weights that bring the losses to about the same size: binary losses are summed over labels, squared losses are small.
LOSS_WEIGHT = {"goemotions": 0.6, "ec": 0.4, "davidson": 0.5, "hate": 0.7, "offensive": 0.7}
LOSS_WEIGHT |= {"valence": 8.0, "ei_anger": 8.0, "ei_fear": 8.0, "ei_joy": 8.0, "ei_sadness": 8.0}
# Labels that only help training, and are noisy or were made for another purpose.
LOSS_WEIGHT |= {"emoji": 0.3, "topic2": 0.4, "topic5": 0.3, "crowdflower": 0.3, "tec": 0.3, "dair": 0.3, "mixture": 0.3}

# Weight of the label of an ordinary post of the public streams: its irony is rare, not absent.
ORDINARY_WEIGHT = 0.3
# Consistency of written posts. Readings in a group without ranks must be equal, for these tasks.
SAME_TASKS = ["sentiment", "emotion", "goemotions", "irony", "hate", "offensive"]
SAME_WEIGHT = 2.0
# In a group with ranks, the difference of positive and negative must grow by the margin from step to step.
ORDER_WEIGHT, ORDER_MARGIN = 1.0, 0.1

TEACHERS = {"student": 4, "student-full": 2}
# The share of a label in the student's target, if a post has one. The rest is the teachers' mean.
LABEL_SHARE = 0.2
# The same for the prior of irony of an ordinary post. The labels of written posts are the whole target: they are right by construction.
ORDINARY_LABEL_SHARE = 0.5
# Real posts have no labels for distress. One whose scores are below these tells of none with this probability (`teach.calm`), and counts so much.
NEGATIVE, SAD, LIKE_DISTRESS = 0.5, 0.25, ["sadness", "grief", "fear", "nervousness", "remorse"]
CALM, CALM_WEIGHT = 0.02, 0.5


@dataclass(frozen=True)
class Stage:
    """One stage of training. `passes` says how often the posts of each data set are used."""

    kind: str
    start: str
    passes: dict[str, float]
    rate: float
    # The base that the stage, or an earlier one, starts from; and the number of layers of the model that the stage trains.
    base: str = "minilm"
    depth: int = 6
    tokens: int = 6144
    warmup: float = 0.06
    layer_decay: float = 1.0
    dropout: float = 0.1
    smoothing: float = 0.05
    # Weight of the difference between two outputs for a post under dropout (R-Drop). 0: each post is read once.
    agreement: float = 0.0
    # Whether the heads of early exits learn too.
    exits: bool = False
    # Whose scores a student learns, with the share of each: a stage, or `shipped` for the model of models/affect-l6. Empty: the seeds of `start`.
    teachers: dict[str, float] = field(default_factory=dict)
    # The sets that a teacher reads, if it does not read all.
    reads: dict[str, list[str]] = field(default_factory=dict)
    sources: dict[str, list[str]] = field(default_factory=dict)
    # Whether posts without labels for distress count as calm, if their scores say so.
    rest_is_calm: bool = False
    # Whether the teachers read only the posts that the stage uses with seed 1. For short stages.
    reads_few: bool = False
    # The share of the prior of irony in the target of an ordinary post. The rest is the teachers' mean.
    ordinary_share: float = ORDINARY_LABEL_SHARE
    # The weight of the likeness of posts in a group.
    alike: float = SAME_WEIGHT


PERMITTED = ["sentiment", "goemotions", "emotion", "irony", "hate", "offensive", "valence", "davidson", "emoji", "topic2", "topic5", "crowdflower", "plain"]
RESTRICTED = ["ec", "tec", "dair", "mixture"]

PRETRAIN = Stage(
    kind="masked",
    start="base",
    passes={name: 3.213 for name in PERMITTED},
    rate=4e-4,
    tokens=12288,
)
TEACHER = Stage(
    kind="labels",
    start="pretrain.7",
    passes={
        "sentiment": 4.0,
        "goemotions": 4.0,
        "emotion": 10.0,
        "irony": 8.0,
        "hate": 4.0,
        "offensive": 4.0,
        "valence": 8.0,
        "davidson": 1.0,
        "emoji": 1.0,
        "topic2": 1.0,
        "topic5": 1.0,
        "crowdflower": 1.0,
    },
    rate=1.5e-4,
    layer_decay=0.9,
    agreement=1.0,
)
STUDENT = Stage(
    kind="scores",
    start="teacher.*",
    passes={name: 5.0 for name in PERMITTED} | {"emotion": 15.0, "irony": 10.0, "valence": 10.0},
    rate=2e-4,
    layer_decay=0.95,
    dropout=0.0,
    exits=True,
)
TEACHER_FULL = replace(
    TEACHER,
    passes=TEACHER.passes | {"ec": 6.0, "ei_anger": 6.0, "ei_fear": 6.0, "ei_joy": 6.0, "ei_sadness": 6.0, "tec": 1.0, "dair": 1.0, "mixture": 1.0},
    sources={"valence": ["valence", "valence_semeval"]},
)
STUDENT_FULL = replace(
    STUDENT,
    start="teacher-full.*",
    passes={name: 0.6 * times for name, times in (STUDENT.passes | {"ec": 10.0, "tec": 3.0, "dair": 3.0, "mixture": 3.0}).items()},
)
# The 12-layer model, and the 6-layer model that learns from it. The passes are for one core of two in an hour each: see README.md.
DEEP = Stage(
    kind="labels",
    start="base",
    passes={"sentiment": 1.5, "goemotions": 1.0, "emotion": 4.0, "irony": 3.0, "hate": 1.0, "offensive": 1.0, "valence": 2.0, "davidson": 0.25, "contrast": 1.0, "crisis": 3.0, "ordinary": 0.3},
    rate=8e-5,
    tokens=3072,
    layer_decay=0.93,
    exits=True,
    base="e5",
    depth=12,
)
# The 12-layer base on sentiment alone, as plainly as can be: it falls least from the posts of 2013 to 2016 to those of 2017.
OPINION = Stage(
    kind="labels",
    start="base",
    passes={"sentiment": 1.0},
    rate=8e-5,
    tokens=1536,
    base="e5",
    depth=12,
)
# The shipped model of 6 layers, taught what is meant: it keeps what it says of real posts, and learns the written ones. See `teach.py`.
SMALL = Stage(
    kind="scores",
    start="shipped",
    passes={
        "sentiment": 1.0,
        "goemotions": 1.0,
        "emotion": 3.0,
        "irony": 3.0,
        "hate": 1.0,
        "offensive": 1.0,
        "valence": 2.0,
        "davidson": 0.25,
        "contrast": 1.25,
        "crisis": 4.0,
        "ordinary": 0.5,
    },
    rate=8e-5,
    tokens=3072,
    layer_decay=0.95,
    dropout=0.0,
    exits=True,
    teachers={"shipped": 0.7, "deep.*": 0.3},
)
# The small model once more. Most of what a reading of distress must not find is in real posts.
FURTHER = replace(
    SMALL,
    start="small.*",
    passes={
        "sentiment": 0.7,
        "goemotions": 1.25,
        "emotion": 3.0,
        "irony": 3.0,
        "hate": 1.25,
        "offensive": 0.7,
        "valence": 1.5,
        "davidson": 0.2,
        "contrast": 1.25,
        "crisis": 6.0,
        "ordinary": 0.8,
    },
    rest_is_calm=True,
)
# And the posts about distress once more, after scenes of crowds and of ordinary days were added: the model took most of them for distress.
SCENES = replace(
    FURTHER,
    start="further.*",
    passes={
        "sentiment": 0.15,
        "goemotions": 0.25,
        "emotion": 0.6,
        "irony": 0.6,
        "hate": 0.2,
        "offensive": 0.1,
        "valence": 0.3,
        "davidson": 0.05,
        "contrast": 0.2,
        "crisis": 5.0,
        "ordinary": 0.25,
    },
    rate=6e-5,
)
# Once more, with 1,300 further posts: distress that is only hinted at, and cheerful or ordinary posts in the same words. It learns its own scores.
HINTS = replace(
    SCENES,
    start="scenes.*",
    passes={
        "sentiment": 0.05,
        "goemotions": 0.12,
        "emotion": 1.0,
        "irony": 1.0,
        "hate": 0.15,
        "offensive": 0.1,
        "valence": 0.4,
        "davidson": 0.02,
        "contrast": 0.1,
        "crisis": 5.0,
        "ordinary": 0.12,
    },
    teachers={"scenes.*": 1.0},
    reads_few=True,
    ordinary_share=0.8,
)
# And once more, with more than a thousand further templates of what is meant, groups that differ in a person, a place or a slip of typing, further
# distress, and the sentiment of the 12-layer model that learnt nothing else.
MEANT = replace(
    HINTS,
    start="hints.*",
    passes={
        "sentiment": 0.4,
        "goemotions": 0.15,
        "emotion": 1.5,
        "irony": 1.0,
        "hate": 0.3,
        "offensive": 0.15,
        "valence": 0.4,
        "davidson": 0.02,
        "contrast": 0.4,
        "crisis": 3.0,
        "ordinary": 0.15,
    },
    rate=7e-5,
    teachers={"hints.*": 0.4, "opinion.*": 0.6},
    reads={"opinion.*": ["sentiment", "ordinary"]},
    ordinary_share=0.8,
)
# And again, with judgements that stand for every speaker: after `meant`, "we thought it was superb" was read as negative, and what a butcher said
# was read otherwise than what a baker said.
STANDS = replace(
    MEANT,
    start="meant.*",
    passes={
        "sentiment": 0.25,
        "goemotions": 0.35,
        "emotion": 1.5,
        "irony": 1.0,
        "hate": 0.2,
        "offensive": 0.15,
        "valence": 0.4,
        "davidson": 0.02,
        "contrast": 0.55,
        "crisis": 1.5,
        "ordinary": 0.15,
    },
    teachers={"hints.*": 0.5, "opinion.*": 0.5},
    alike=5.0,
)
STAGES = {
    "pretrain": PRETRAIN,
    "teacher": TEACHER,
    "student": STUDENT,
    "teacher-full": TEACHER_FULL,
    "student-full": STUDENT_FULL,
    "deep": DEEP,
    "opinion": OPINION,
    "small": SMALL,
    "further": FURTHER,
    "scenes": SCENES,
    "hints": HINTS,
    "meant": MEANT,
    "stands": STANDS,
}
