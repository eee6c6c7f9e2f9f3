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
