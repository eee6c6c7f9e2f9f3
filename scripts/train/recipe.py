"""The recipe: data sets, passes, learning rates, and every other number that is a choice.

    pretrain          masked words and the emoji that a post carried, on every permitted post
    teacher, 4 seeds  all tasks at once; each post is read twice under dropout, and R-Drop keeps the two outputs close
    student           starts from the mean of the teachers' weights and learns their mean scores on every post, mixed with labels

The `-full` stages also use the data sets for research only, and fewer teachers. They show what the shipped model loses without those sets.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

# The layers with early exits, and the tasks that have a head there.
EXITS = {2: ["sentiment", "emotion", "goemotions"], 3: ["sentiment", "emotion", "goemotions"]}
EXIT_WEIGHT = 0.25
# Weights that bring the losses to about the same size: binary losses are summed over labels, squared losses are small.
LOSS_WEIGHT = {"goemotions": 0.6, "ec": 0.4, "davidson": 0.5, "hate": 0.7, "offensive": 0.7}
LOSS_WEIGHT |= {"valence": 8.0, "ei_anger": 8.0, "ei_fear": 8.0, "ei_joy": 8.0, "ei_sadness": 8.0}
# Labels that only help training, and are noisy or were made for another purpose.
LOSS_WEIGHT |= {"emoji": 0.3, "topic2": 0.4, "topic5": 0.3, "crowdflower": 0.3, "tec": 0.3, "dair": 0.3, "mixture": 0.3}

TEACHERS = {"student": 4, "student-full": 2}
# The share of a label in the student's target, if a post has one. The rest is the teachers' mean.
LABEL_SHARE = 0.2


@dataclass(frozen=True)
class Stage:
    """One stage of training. `passes` says how often the posts of each data set are used."""

    kind: str
    start: str
    passes: dict[str, float]
    rate: float
    tokens: int = 6144
    warmup: float = 0.06
    layer_decay: float = 1.0
    dropout: float = 0.1
    smoothing: float = 0.05
    # Weight of the difference between two outputs for a post under dropout (R-Drop). 0: each post is read once.
    agreement: float = 0.0
    sources: dict[str, list[str]] = field(default_factory=dict)


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
STAGES = {"pretrain": PRETRAIN, "teacher": TEACHER, "student": STUDENT, "teacher-full": TEACHER_FULL, "student-full": STUDENT_FULL}
