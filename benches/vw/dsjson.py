"""Writes a log in Vowpal Wabbit's DSJSON, and has both weigh it: VW's own inverse propensity score of a choice among
equals, and `limbic evaluate`. They are the same number or this fails.

    cargo build --release && ~/.cache/limbic/vw-venv/bin/python benches/vw/dsjson.py target/release/limbic [ROWS]

`benches/vw/run.sh` makes that environment.
"""

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import vowpalwabbit

CLICK_RATES = {"sport": 0.5, "art": 0.2, "news": 0.1, "food": 0.1, "music": 0.1}


def row(number: int, generator: random.Random) -> str:
    articles = generator.sample(sorted(CLICK_RATES), generator.choice([2, 3, 4]))
    weights = [generator.random() + 0.1 for _ in articles]
    chances = [weight / sum(weights) for weight in weights]
    chosen = generator.choices(range(len(articles)), chances)[0]
    # The chosen action comes first.
    order = [chosen] + [place for place in range(len(articles)) if place != chosen]
    return json.dumps({
        "_label_cost": -1 if generator.random() < CLICK_RATES[articles[chosen]] else 0,
        "_label_probability": chances[chosen],
        "_label_Action": chosen + 1,
        "_labelIndex": chosen,
        "Timestamp": "2026-01-01T00:00:00Z",
        "Version": "1",
        "EventId": f"event-{number}",
        "a": [place + 1 for place in order],
        "c": {"user": {"name": generator.choice(["tom", "anna"])}, "_multi": [{"article": article} for article in articles]},
        "p": [chances[place] for place in order],
    })


def main() -> None:
    program, rows = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3000
    generator = random.Random(3)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.dsjson"
        log.write_text("".join(row(number, generator) + "\n" for number in range(rows)))
        # With an epsilon of 1 VW chooses uniformly, and reports the mean cost of its own choices by inverse propensity.
        wabbit = vowpalwabbit.Workspace(f"--cb_explore_adf --epsilon 1 --cb_type ips --dsjson -d {log} --no_stdin --quiet")
        theirs = -wabbit.get_sum_loss() / wabbit.get_weighted_examples()
        wabbit.finish()
        said = subprocess.run(
            [program, "evaluate", "--log", log, "--format", "dsjson", "--policy", "uniform", "--estimator", "ipw", "--json"],
            check=True,
            capture_output=True,
        )
    report = json.loads(said.stdout)
    ours = report["estimates"][0]["value"]
    print(f"{report['rows']} rows: Vowpal Wabbit {theirs:.8f}, Limbic {ours:.8f}")
    if report["rows"] != rows or abs(ours - theirs) > 1e-6:
        sys.exit("they differ")


if __name__ == "__main__":
    main()
