#!/usr/bin/env python3
"""Checks that the suite and the training are apart: no shape of a sentence in both, and few words of the lists in both.

    python3 scripts/behaviour/apart.py

A shape is a template's fixed words with `_` for each slot. The probes for distress share no text with the training posts, and no run of
five words.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import suite  # noqa: E402
from contrast import feelings, grammar, negation, people, strength, words, world  # noqa: E402
from contrast.forms import Form  # noqa: E402

HERE = Path(__file__).resolve().parent
TRAINING = HERE.parent / "train" / "contrast" / "distress.tsv"
FEWEST_TESTS, FEWEST_CASES = 40, 200
# Largest share of the suite's words that the training's lists also have. Names of groups are shared where no other word exists.
MOST_SHARED = 0.12
# A shape with fewer fixed words than this is not a shape ("_ is _").
FEWEST_WORDS = 3
RUN = 5


def training_templates():
    for module in (negation, strength, feelings, world, people):
        for form in module.FORMS:
            yield from form.templates
        for ladder in getattr(module, "LADDERS", []):
            for step in ladder.steps:
                yield from step


def suite_templates():
    for test in suite.TESTS:
        for template in test.templates:
            yield from template if isinstance(template, tuple) else (template,)


def shapes(templates) -> set[str]:
    found = {grammar.skeleton(shape) for template in templates for shape in grammar.shapes(template)}
    return {shape for shape in found if len([word for word in shape.split() if word != "_"]) >= FEWEST_WORDS}


def fillers(lists) -> set[str]:
    return {word.lower() for list_ in lists for word in list_}


def posts(path: Path) -> list[str]:
    rows = [line.split("\t")[-1] for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return [text for row in rows for text in grammar.shapes(row)]


def runs(texts: list[str]) -> set[tuple[str, ...]]:
    found = set()
    for text in texts:
        said = re.findall(r"[\w']+", text.lower())
        found |= {tuple(said[at : at + RUN]) for at in range(len(said) - RUN + 1)}
    return found


PROBES = ["distress_probe.tsv", "distress_probe_2.tsv"]
# The same in six other languages, and the posts that its classifier learns from.
LANGUAGES = "distress_languages.tsv"
WORDS_TRAINING = HERE.parents[1] / "models" / "distress-words" / "training"


def main() -> int:
    wrong = []
    if len(suite.TESTS) < FEWEST_TESTS:
        wrong.append(f"the suite has {len(suite.TESTS)} tests, and needs {FEWEST_TESTS}")
    wrong += [f"{test.name} has {count} cases, and needs {FEWEST_CASES}" for test in suite.TESTS if (count := len(suite.cases(test))) < FEWEST_CASES]
    wrong += [f"shape in both: {shape}" for shape in sorted(shapes(training_templates()) & shapes(suite_templates()))]
    trained = fillers(list_ for domain in words.DOMAINS for list_ in domain.values()) | fillers(words.COMMON.values())
    for module in (negation, strength, feelings, world, people):
        trained |= fillers(getattr(module, "WORDS", {}).values())
    tested = fillers([*suite.WORDS.values(), *(list_ for test in suite.TESTS for list_ in test.words.values())])
    both = sorted(trained & tested)
    if len(both) > MOST_SHARED * len(tested):
        wrong.append(f"{len(both)} of {len(tested)} words are in both: {', '.join(both)}")
    written, probed = posts(TRAINING), [text for file in PROBES for text in posts(HERE / file)]
    if any(isinstance(form, Form) for form in feelings.FORMS):
        written += [template for form in feelings.FORMS for template in form.templates]
    wrong += [f"in a probe and in the training: {' '.join(run)}" for run in sorted(runs(written) & runs(probed))]
    of_languages, learnt = posts(HERE / LANGUAGES), [text for file in sorted(WORDS_TRAINING.glob("*.tsv")) for text in posts(file)]
    wrong += [f"in the probe of languages and in its training: {' '.join(run)}" for run in sorted(runs(of_languages) & runs(learnt))]
    probed += of_languages
    for what in wrong:
        print(what)
    print(f"{len(suite.TESTS)} tests, {len(both)} of {len(tested)} words shared, {len(probed)} posts in the probes: {'apart' if not wrong else 'not apart'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
