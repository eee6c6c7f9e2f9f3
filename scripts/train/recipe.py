"""What is trained on what, how long, and how fast: every number of the recipe that is a choice."""

from __future__ import annotations

from dataclasses import dataclass, field

# Layers whose states are also read by heads of their own, for the cascade, and the tasks that these heads carry.
EXITS = {2: ["sentiment", "emotion", "goemotions"], 3: ["sentiment", "emotion", "goemotions"]}
EXIT_WEIGHT = 0.25
# Losses are brought to about the same size: the binary ones are summed over labels, the squared ones are small.
LOSS_WEIGHT = {"goemotions": 0.6, "ec": 0.4, "davidson": 0.5, "tec": 0.5, "hate": 0.7, "offensive": 0.7}
LOSS_WEIGHT |= {"valence": 8.0, "ei_anger": 8.0, "ei_fear": 8.0, "ei_joy": 8.0, "ei_sadness": 8.0}


@dataclass(frozen=True)
class Stage:
    """`passes` says how often each task's posts are seen; `frozen` counts the layers (with the embeddings) that stay."""

    start: str
    passes: dict[str, float]
    rate: float
    layer_decay: float
    frozen: int = 0
    tokens: int = 1024
    warmup: int = 60
    # The part of the steps, at the end, over which the rate falls to nothing.
    cooldown: float = 0.0
    dropout: float = 0.0
    smoothing: float = 0.05
    average: float = 0.97
    sources: dict[str, list[str]] = field(default_factory=dict)
    # Stop after so many steps: posts of all tasks are spread evenly, so a run can end anywhere. 0: at the end.
    until: int = 0


SHARED = Stage(
    start="base",
    passes={
        "sentiment": 1.0,
        "goemotions": 1.0,
        "emotion": 3.0,
        "irony": 2.0,
        "hate": 1.0,
        "offensive": 1.0,
        "valence": 1.0,
        "davidson": 0.3,
    },
    rate=1.0e-4,
    layer_decay=0.9,
)
# From here on the embeddings and the lower half stay: the two models share them, and a pass costs half.
PERMISSIVE = Stage(
    start="shared.7",
    passes={
        "sentiment": 0.8,
        "goemotions": 0.6,
        "emotion": 5.0,
        "irony": 3.0,
        "hate": 0.7,
        "offensive": 0.7,
        "valence": 2.0,
    },
    rate=8e-5,
    layer_decay=0.9,
    frozen=3,
    cooldown=1.0,
    dropout=0.1,
)
FULL = Stage(
    start="permissive.7",
    passes={
        "ec": 3.0,
        "ei_anger": 2.0,
        "ei_fear": 2.0,
        "ei_joy": 2.0,
        "ei_sadness": 2.0,
        "valence": 2.0,
        "emotion": 2.0,
        "sentiment": 0.25,
        "goemotions": 0.2,
        "irony": 1.0,
        "hate": 0.1,
        "offensive": 0.1,
    },
    rate=8e-5,
    layer_decay=0.9,
    frozen=3,
    cooldown=1.0,
    dropout=0.1,
    sources={"valence": ["valence_semeval"]},
)
STAGES = {"shared": SHARED, "permissive": PERMISSIVE, "full": FULL}
