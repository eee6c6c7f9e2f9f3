"""Tables of the behavioural suite's results, for the terminal and for the model card."""

from __future__ import annotations

from collections import defaultdict


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def rows(head: list[str], body: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in body]) + "\n"


def tests(result: dict) -> str:
    body = [[name, one["kind"], str(one["cases"]), percent(one["failed"])] for name, one in result["suite"].items()]
    return rows(["test", "expectation", "cases", "failed"], body)


def areas(result: dict) -> str:
    failures = defaultdict(list)
    for name, one in result["suite"].items():
        failures[name.split("/")[0]].append(one["failed"])
    body = [[area, str(len(failed)), percent(sum(failed) / len(failed))] for area, failed in failures.items()]
    body.append(["**all**", str(len(result["suite"])), f"**{percent(result['mean'])}**"])
    return rows(["area", "tests", "mean failure"], body)


def distress(found: dict) -> str:
    said = (
        f"Recall is {percent(found['recall'])} of {found['posts']} posts in distress ({percent(found['clear'])} of the clear ones, "
        f"{percent(found['hinted'])} of the hinted ones). Precision is {percent(found['precision'])}, with {found['others']} other posts.\n\n"
    )
    return said + rows(["kind", "posts with a cue", "posts"], [[kind, str(hits), str(count)] for kind, (hits, count) in found["kinds"].items()])


def languages(found: dict) -> str:
    """One row for each language: recall with its interval (Wilson, 95 %), and false alarms."""
    body = []
    for name, one in found.items():
        hits = round(one["recall"] * one["posts"])
        alarms = sum(count for kind, (count, _) in one["kinds"].items() if kind.startswith("none:"))
        body.append([name, between(hits, one["posts"]), percent(one["clear"]), percent(one["hinted"]), between(alarms, one["others"]), percent(one["precision"])])
    return rows(["probe", "recall", "clear posts", "hinted posts", "false alarms", "precision"], body)


def between(hits: int, of: int) -> str:
    """A share with its 95 % interval by Wilson's score."""
    z, share = 1.96, hits / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * (share * (1 - share) / of + z * z / (4 * of * of)) ** 0.5
    return f"{percent(share)} ({100 * max(0.0, middle - half):.0f}–{100 * min(1.0, middle + half):.0f})"
