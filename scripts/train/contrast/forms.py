"""Labels and forms: a form is a list of templates that mean the same, with their labels."""

from __future__ import annotations

from dataclasses import dataclass, field

# Sentiment as shares of negative, neutral, positive: what annotators would say of such a post.
NEGATIVE = (0.92, 0.06, 0.02)
RATHER_NEGATIVE = (0.70, 0.25, 0.05)
NOT_POSITIVE = (0.50, 0.45, 0.05)
NEUTRAL = (0.03, 0.94, 0.03)
MIXED = (0.35, 0.35, 0.30)
NOT_NEGATIVE = (0.04, 0.46, 0.50)
RATHER_POSITIVE = (0.05, 0.28, 0.67)
POSITIVE = (0.02, 0.06, 0.92)

FAVOURABLE = "admiration amusement approval caring desire excitement gratitude joy love optimism pride relief".split()
UNFAVOURABLE = "anger annoyance disappointment disapproval disgust embarrassment fear grief nervousness remorse sadness".split()


@dataclass(frozen=True)
class Form:
    """Templates of one meaning. `None` means that the label is not known, and no loss is computed for it.

    `emotions` names GoEmotions' labels that are clear, with their probability; labels of the other side then count as absent.
    `swaps` names the slots that make a group: the posts of a group differ only there, and their readings must be equal.
    """

    name: str
    templates: list[str]
    sentiment: tuple[float, float, float] | None
    emotions: dict[str, float] = field(default_factory=dict)
    irony: float | None = 0.0
    hate: float | None = 0.0
    offensive: float | None = 0.0
    swaps: tuple[str, ...] = ()
    # How many rows there are for one row of an ordinary form.
    share: float = 1.0
    # Whether the spelling is changed as people do who avoid filters.
    is_disguised: bool = False


@dataclass(frozen=True)
class Ladder:
    """Templates from the least to the most favourable. The rows of one filling are a group with ranks: each must be read as more
    favourable than the one before it. `sentiments` holds the labels of the steps; `None` where only the order is known."""

    name: str
    steps: list[list[str]]
    sentiments: list[tuple[float, float, float] | None]
    share: float = 1.0


def emotions(named: dict[str, float]) -> dict[str, float]:
    """Returns the probabilities of the labels that are known: those that are named, and that the other side is absent."""
    if not named:
        return {}
    if named.get("neutral", 0.0) > 0.5:
        return {label: 0.02 for label in FAVOURABLE + UNFAVOURABLE} | named
    known = {"neutral": 0.12}
    sides = [label in FAVOURABLE for label in named if label in FAVOURABLE or label in UNFAVOURABLE]
    if all(sides):
        known |= {label: 0.02 for label in UNFAVOURABLE}
    if not any(sides):
        known |= {label: 0.02 for label in FAVOURABLE}
    return known | named
