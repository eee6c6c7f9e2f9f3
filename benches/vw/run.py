"""Click-through in the tutorial world (2 users x 2 times x 7 articles; 5,000 rounds, then 5,000 after a drift) and
speed, ours and Vowpal Wabbit's, in one run. The seeds reported are not those the settings were chosen on."""

import json
import os
import random
import statistics
import subprocess
import sys
import time

import vowpalwabbit

FIRST_SEED = 9000
USERS, TIMES = ["Tom", "Anna"], ["morning", "afternoon"]
ARTICLES = ["politics", "sports", "music", "food", "finance", "health", "camping"]
BEFORE = {("Tom", "morning"): "politics", ("Tom", "afternoon"): "music",
          ("Anna", "morning"): "sports", ("Anna", "afternoon"): "politics"}
KNOWN = {("Tom", "morning"): "politics", ("Tom", "afternoon"): "sports",
         ("Anna", "morning"): "sports", ("Anna", "afternoon"): "sports"}
UNKNOWN = {("Tom", "morning"): "politics", ("Tom", "afternoon"): "food",
           ("Anna", "morning"): "food", ("Anna", "afternoon"): "food"}
WORLDS = {"stationary": [BEFORE], "first_drift": [BEFORE, KNOWN], "second_drift": [BEFORE, UNKNOWN]}

VW = {
    "VW SquareCB": "--cb_explore_adf --squarecb --quiet",
    "VW softmax 10": "--cb_explore_adf --softmax --lambda 10 --quiet",
    "VW epsilon 0.2": "--cb_explore_adf --epsilon 0.2 --quiet",
    "VW RND": "--cb_explore_adf --rnd 3 --epsilon 0.025 --quiet",
}
# The tutorial's own pairs, and the triple that ours is given.
INTERACTIONS = {"pairs": "-q UA", "triples": "--interactions UUA"}


def example(user, moment, label=None):
    lines = [f"shared |User user={user} time_of_day={moment}"]
    for index, article in enumerate(ARTICLES):
        head = f"0:{label[1]}:{label[2]} " if label and label[0] == index else ""
        lines.append(f"{head}|Action article={article}")
    return lines


def play(options, halves, seed):
    chance = random.Random(seed)
    workspace = vowpalwabbit.Workspace(f"{options} --random_seed {seed}")
    for likes in halves:
        clicks = 0
        for _ in range(5000):
            user, moment = chance.choice(USERS), chance.choice(TIMES)
            masses = workspace.predict(example(user, moment))
            lot, chosen = chance.random() * sum(masses), 0
            for chosen, mass in enumerate(masses):
                lot -= mass
                if lot < 0:
                    break
            click = ARTICLES[chosen] == likes[user, moment]
            clicks += click
            workspace.learn(example(user, moment, (chosen, -1.0 if click else 0.0, masses[chosen])))
    workspace.finish()
    return clicks / 5000


def shown(rates):
    """Mean and half of a 95 % interval of the mean."""
    half = 1.96 * statistics.stdev(rates) / len(rates) ** 0.5 if len(rates) > 1 else 0.0
    return f"{statistics.fmean(rates):.3f} ±{half:.3f}"


def speed():
    features = " ".join(f"e{i}:{i / 9}" for i in range(9))
    actions = [f"|Action " + " ".join(f"{a}.{i}:{0.1 + i / 50}" for i in range(98)) + f" arm={a} family=f" for a in range(20)]
    workspace = vowpalwabbit.Workspace("--cb_explore_adf --squarecb --quiet -b 18")
    text = [f"shared |User {features}"] + actions
    learn = [f"shared |User {features}", "0:-1:0.1 " + actions[0]] + actions[1:]
    parsed = workspace.parse(text)
    rows = {}
    for name, act, rounds in [
        ("VW predict, text", lambda: workspace.predict(text), 300),
        ("VW predict, parsed before", lambda: workspace.predict(parsed), 1000),
        ("VW learn, text", lambda: workspace.learn(learn), 300),
    ]:
        begin = time.process_time()
        for _ in range(rounds):
            act()
        rows[name] = (time.process_time() - begin) / rounds * 1e6
    return rows


def main():
    examples, count = sys.argv[1], int(sys.argv[2])
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "configurations.jsonl"), encoding="utf-8") as settings:
        ours = subprocess.run([os.path.join(examples, "tutorial"), str(FIRST_SEED), str(count), "-"],
                              stdin=settings, capture_output=True, text=True, check=True)
    print(f"click-through, mean of {count} seeds ± half of a 95 % interval (second half where there is a drift)\n")
    print("| policy | stationary | first drift | second drift |\n|---|---|---|---|")
    for line in ours.stdout.splitlines():
        row = json.loads(line)
        print(f"| Limbic {row['name']} |", " | ".join(shown(row[world]) for world in WORLDS), "|")
    for interactions, flag in INTERACTIONS.items():
        for name, options in VW.items():
            cells = [shown([play(f"{options} {flag}", halves, FIRST_SEED + n) for n in range(min(count, 4))])
                     for halves in WORLDS.values()]
            print(f"| {name}, {interactions} (of {min(count, 4)} seeds) |", " | ".join(cells), "|", flush=True)
    print("\nspeed, 20 candidates x 100 features, microseconds of processor time\n")
    print("| what | µs |\n|---|---|")
    print(subprocess.run([os.path.join(examples, "speed")], capture_output=True, text=True, check=True).stdout, end="")
    for name, micros in speed().items():
        print(f"| {name} | {micros:.1f} |")


main()
