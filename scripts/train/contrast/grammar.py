"""Fills templates with words, and writes the result as people post it.

A template is text with slots and choices: `{thing}` takes a word of that list, `{thing.2}` takes another word of it, `[a|b|]` takes one of the
parts (here `a`, `b` or nothing). Words may hold slots and choices themselves. `{A:thing}` begins with a capital letter.
"""

from __future__ import annotations

import random
import re

SLOT = re.compile(r"\{(?P<capital>A:)?(?P<name>[a-z_]+)(?:\.(?P<number>\d))?\}")
CHOICE = re.compile(r"\[([^\[\]]*)\]")


def fill(template: str, words: dict[str, list[str]], chance: random.Random, taken: dict[str, str] | None = None) -> str:
    """Returns the template with one word in each slot. `taken` receives them; a slot that it holds already keeps its word."""
    taken = {} if taken is None else taken
    text = template
    for _ in range(8):
        text, choices = CHOICE.subn(lambda found: chance.choice(found[1].split("|")), text)
        text, slots = SLOT.subn(lambda found: word(found, words, chance, taken), text)
        if not choices and not slots:
            return tidy(text)
    raise ValueError(f"the words of {template!r} refer to each other without an end")


def word(found: re.Match, words, chance: random.Random, taken: dict[str, str]) -> str:
    name, number = found["name"], found["number"] or "1"
    key = f"{name}.{number}"
    if key not in taken:
        used = {value for other, value in taken.items() if other.split(".")[0] == name}
        free = [one for one in words[name] if one not in used] or words[name]
        taken[key] = chance.choice(free)
    value = taken[key]
    return value[:1].upper() + value[1:] if found["capital"] else value


def tidy(text: str) -> str:
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r" ([,.!?;:])", r"\1", text)
    # "a" before a vowel becomes "an", with the usual exceptions.
    return re.sub(r"\b([Aa]) (?=[aeiouAEIOU])(?!(?:uni|use|Europ|one\b|euro|U[KS]))", r"\1n ", text)


def skeleton(template: str) -> str:
    """Returns the fixed words of a template, with `_` for each slot. Two templates of one shape give the same result."""
    text = SLOT.sub(" _ ", template.lower())
    return " ".join(re.findall(r"[a-z0-9']+|_", text))


def shapes(template: str) -> list[str]:
    """Returns the template once for each of its choices, without other expansion."""
    found = CHOICE.search(template)
    if not found:
        return [template]
    return [shape for part in found[1].split("|") for shape in shapes(template[: found.start()] + part + template[found.end() :])]


EXPANDED = [
    ("can't", "cannot"),
    ("won't", "will not"),
    ("n't", " not"),
    ("I'm", "I am"),
    ("it's", "it is"),
    ("I've", "I have"),
    ("that's", "that is"),
    ("they're", "they are"),
]
LETTERS = re.compile(r"[a-z]{6,}")


def posted(text: str, chance: random.Random) -> str:
    """Returns the text in one of the ways in which people write: in lower case, without apostrophes, with a slip of the finger, and so on."""
    if chance.random() < 0.15:
        for short, long in EXPANDED:
            text = text.replace(short, long)
    if chance.random() < 0.3:
        text = re.sub(r"(?<!\.)[.]$", "", text)
    if chance.random() < 0.28:
        text = text.lower()
    elif chance.random() < 0.02:
        text = text.upper()
    if "'" in text:
        kind = chance.random()
        if kind < 0.2:
            text = text.replace("'", "\u2019")
        elif kind < 0.32:
            text = text.replace("'", "")
    if chance.random() < 0.05:
        text = slip(text, chance)
    if chance.random() < 0.04:
        text = "@" + chance.choice(["sam_k", "tobi", "mrsfields", "jayjay", "lou_99", "northside", "ana"]) + " " + text
    return text


def slip(text: str, chance: random.Random) -> str:
    """Returns the text with two letters of one longer word exchanged, or one left out."""
    found = list(LETTERS.finditer(text))
    if not found:
        return text
    one = chance.choice(found)
    at = chance.randrange(one.start() + 1, one.end() - 2)
    if chance.random() < 0.5:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at + 1 :]
