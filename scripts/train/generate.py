#!/usr/bin/env python3
"""Generates the written training posts: contrast sets for what is meant (negation, strength, identity, irony, and so on).

    python3 scripts/train/generate.py --seed 7 > contrast.jsonl        # about 163,000 rows in twenty seconds
    python3 scripts/train/generate.py --count                          # number of rows by set
    python3 scripts/train/generate.py --show negation 12               # some rows of the sets whose name begins so

All templates and words are written for this project (`scripts/train/contrast`). The same seed gives the same rows. One row:

    {"text": …, "sentiment": [negative, neutral, positive] or null, "goemotions": {label: probability}, "irony": … or null, "hate": …,
     "offensive": …, "distress": {kind: probability}, "group": number or null, "rank": number or null, "source": "negation/near/not_bad"}

Rows about distress also have the number of their template.

A label that is absent or null is unknown. The rows of a group without ranks differ only in what must not matter (a name, a nationality): their
readings must be equal. In a group with ranks, a higher rank must be read as more favourable. No row is a text of a public data set or suite.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import re
import sys
from pathlib import Path

from contrast import feelings, grammar, negation, people, strength, words, world
from contrast.forms import RATHER_NEGATIVE, Form, Ladder, emotions

SETS = {"negation": negation, "strength": strength, "feelings": feelings, "world": world, "people": people}
# Rows of a form with a share of one, before texts that occur twice are removed.
ROWS = 190
# Fillings of a ladder with a share of one. Each gives a row for every step.
FILLINGS = 220
DISTRESS = Path(__file__).parent / "contrast" / "distress.tsv"
# Spellings of each choice of a post about distress, or of one that only resembles it.
SPELLINGS = 3
# Rows of a group that differ only in what must not matter.
GROUP = 5
# Groups of slips of typing for a form with a share of one.
MISSPELT = 12


def vocabulary(domain: dict[str, list[str]]) -> dict[str, list[str]]:
    """Returns all word lists, with those of one domain."""
    merged: dict[str, list[str]] = {}
    for module in SETS.values():
        for name, list_ in getattr(module, "WORDS", {}).items():
            # A name that two modules use belongs to the module of the form: see `rows_of`.
            merged.setdefault(name, list_)
    return merged | words.COMMON | domain


class Rows:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.groups = 0
        self.seen: set[str] = set()

    def row(self, text: str, source: str, form: Form | None, sentiment, group: int | None = None, rank: int | None = None) -> dict | None:
        key = f"{group}:{text.lower()}" if group is not None else text.lower()
        if key in self.seen:
            return None
        self.seen.add(key)
        labels: dict = {"sentiment": sentiment}
        if form is not None:
            labels |= {"goemotions": emotions(form.emotions), "irony": form.irony, "hate": form.hate, "offensive": form.offensive}
        else:
            labels |= {"goemotions": {}, "irony": None, "hate": 0.0, "offensive": None}
        labels["distress"] = distress_of(source)
        return {"text": text, **labels, "group": group, "rank": rank, "source": source}

    def form(self, name: str, form: Form, own: dict[str, list[str]]):
        chance = random.Random(f"{self.seed}/{name}/{form.name}")
        for number in range(round(ROWS * form.share) // (GROUP if form.swaps else 1)):
            template = form.templates[number % len(form.templates)]
            lists = vocabulary(chance.choice(words.DOMAINS)) | own
            if form.swaps:
                yield from self.swapped(name, form, template, lists, chance)
                continue
            text = grammar.fill(template, lists, chance)
            text = disguised(text, chance) if form.is_disguised else grammar.posted(text, chance)
            if made := self.row(text, f"{name}/{form.name}", form, form.sentiment):
                yield made

    def swapped(self, name: str, form: Form, template: str, lists, chance: random.Random):
        """Yields posts that differ only in the slots that must not matter."""
        taken: dict[str, str] = {}
        grammar.fill(template, lists, chance, taken)
        kept = {slot: value for slot, value in taken.items() if slot.split(".")[0] not in form.swaps}
        # One state of chance, so that choices and spelling are those of the whole group.
        style = chance.random()
        # A template's own choices would differ within the group: they are made once.
        shape = random.Random(style).choice(grammar.shapes(template))
        self.groups += 1
        made = []
        for _ in range(GROUP):
            text = grammar.fill(shape, lists, chance, dict(kept))
            row = self.row(grammar.posted(text, random.Random(style)), f"{name}/{form.name}", form, form.sentiment, self.groups)
            made += [row] if row else []
        # A group of one says nothing.
        if len(made) > 1:
            yield from made

    def ladder(self, name: str, ladder: Ladder, own: dict[str, list[str]]):
        chance = random.Random(f"{self.seed}/{name}/{ladder.name}")
        for number in range(round(FILLINGS * ladder.share)):
            lists = vocabulary(chance.choice(words.DOMAINS)) | own
            taken: dict[str, str] = {}
            style, self.groups = chance.random(), self.groups + 1
            made = []
            for rank, step in enumerate(ladder.steps):
                text = grammar.fill(step[number % len(step)], lists, chance, taken)
                row = self.row(grammar.posted(text, random.Random(style)), f"{name}/{ladder.name}", None, ladder.sentiments[rank], self.groups, rank)
                made += [row] if row else []
            if len(made) > 1:
                yield from made

    def misspelt(self):
        """Yields groups of a post and its slips of typing, which must not matter. The posts are those of other seeds, so that they are new."""
        chance = random.Random(f"{self.seed}/misspelt")
        for name, module in SETS.items():
            own = getattr(module, "WORDS", {})
            for form in module.FORMS:
                if form.swaps or form.is_disguised:
                    continue
                for _ in range(round(MISSPELT * form.share)):
                    lists = vocabulary(chance.choice(words.DOMAINS)) | own
                    text = grammar.posted(grammar.fill(chance.choice(form.templates), lists, chance), chance)
                    self.groups += 1
                    spellings = [text, *(typed(text, chance) for _ in range(GROUP - 2))]
                    made = [self.row(one, f"{name}/{form.name}", form, form.sentiment, self.groups) for one in spellings]
                    made = [row for row in made if row]
                    if len(made) > 1:
                        yield from made

    def distress(self):
        """Yields the posts of the head for distress, each choice in several spellings."""
        chance = random.Random(f"{self.seed}/distress")
        lines = [line.split("\t") for line in DISTRESS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        for number, (kind, template) in enumerate(lines):
            is_none = kind.startswith("none:")
            # Of a post in distress, the other kinds are unknown: grief and despair are often both there.
            known = {"any": 0.02} | {KIND_OF.get(one, one): 0.02 for one in KINDS} if is_none else {"any": 0.97, KIND_OF.get(kind, kind): 0.95}
            for shape in grammar.shapes(template):
                for spelling in range(SPELLINGS):
                    text = grammar.tidy(shape) if spelling == 0 else grammar.posted(grammar.tidy(shape), chance)
                    made = self.row(text, f"distress/{kind}", None, None if is_none else RATHER_NEGATIVE)
                    if made:
                        # The number of the template keeps all its spellings on one side of a split.
                        yield made | {"distress": known, "template": number}

    def all(self):
        yield from self.distress()
        yield from self.misspelt()
        for name, module in SETS.items():
            own = getattr(module, "WORDS", {})
            for form in module.FORMS:
                yield from self.form(name, form, own)
            for ladder in getattr(module, "LADDERS", []):
                yield from self.ladder(name, ladder, own)


KINDS = ["grief", "fear", "despair", "self_harm", "life", "eating", "abuse", "disaster"]
# Kinds of the list that are ways of saying another kind.
KIND_OF = {"indirect": "self_harm", "coded": "self_harm"}
# Sets whose posts may be about distress, so that its absence is not known.
UNCLEAR = ("world/headline", "world/event", "feelings/", "people/hate", "people/not_hate/quoted", "people/not_hate/reported", "people/not_hate/call_out", "people/identity/bad", "people/identity/feeling_bad", "people/name/bad")


def distress_of(source: str) -> dict[str, float]:
    """Returns what is known of distress for the posts of a set."""
    if source in ("feelings/grief/looks_like_joy", "feelings/grief/celebration"):
        return {"any": 0.9, "grief": 0.9}
    if source.startswith(UNCLEAR):
        return {}
    return {"any": 0.03} | dict.fromkeys(KINDS, 0.03)


def typed(text: str, chance: random.Random) -> str:
    """Returns the text with a slip of typing in one of its words, short ones included: two letters exchanged, one left out, or one doubled."""
    places = [at for at in range(1, len(text) - 2) if text[at - 1 : at + 2].isalpha()]
    if not places:
        return text
    at = chance.choice(places)
    kind = chance.random()
    if kind < 0.6:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at + 1 :] if kind < 0.85 else text[:at] + text[at] + text[at:]


LOOKALIKES = {"a": "@4", "e": "3", "i": "1!", "o": "0", "s": "$5", "t": "7"}


def disguised(text: str, chance: random.Random) -> str:
    """Returns the text with some of its longer words spelt as people do who avoid filters."""
    longer = [match for match in re.finditer(r"[A-Za-z]{4,}", text)]
    changed = text
    for match in sorted(chance.sample(longer, min(len(longer), chance.randint(1, 3))), key=lambda m: -m.start()):
        changed = changed[: match.start()] + disguise(match[0], chance) + changed[match.end() :]
    return changed if chance.random() < 0.5 else changed.lower()


def disguise(word: str, chance: random.Random) -> str:
    kind = chance.randrange(6)
    if kind == 0:
        return "".join(chance.choice(LOOKALIKES[c]) if c in LOOKALIKES and chance.random() < 0.7 else c for c in word)
    if kind == 1:
        return chance.choice([" ", ".", "-", "_"]).join(word)
    if kind == 2:
        at = chance.randrange(1, len(word) - 1)
        return word[:at] + "*" + word[at + 1 :]
    if kind == 3:
        return "".join(c for at, c in enumerate(word) if at == 0 or c not in "aeiou") or word
    if kind == 4:
        at = chance.randrange(1, len(word))
        return word[:at] + word[at] * chance.randint(1, 3) + word[at:]
    return grammar.slip(word, chance)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--count", action="store_true", help="print the number of rows of each set")
    arguments.add_argument("--show", nargs=2, metavar=("SET", "ROWS"), help="print some rows of the sets whose name begins so")
    given = arguments.parse_args()
    rows = Rows(given.seed).all()
    if given.count:
        counted = collections.Counter(row["source"] for row in rows)
        for name, count in sorted(counted.items()):
            print(f"{count:6} {name}")
        print(f"{sum(counted.values()):6} rows")
    elif given.show:
        wanted = [row for row in rows if row["source"].startswith(given.show[0])]
        for row in random.Random(given.seed).sample(wanted, min(len(wanted), int(given.show[1]))):
            print(row["source"], "|", row["group"], row["rank"], "|", row["text"])
    else:
        for row in rows:
            sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
