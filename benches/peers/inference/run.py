"""Measures all engines in turns and prints the table. See `run.sh`."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORKERS = 2
POSTS = 4000
SHORTEST, LONGEST = 18, 64
# rten reads what ONNX Runtime does.
RTEN = {"rten-fp32": "fp32.onnx", "rten-int8": "onnxruntime-int8.onnx", "rten-int8-u8": "onnxruntime-int8-u8.onnx"}
PEERS = ["onnxruntime-fp32", "onnxruntime-int8", "onnxruntime-int8-u8", "openvino-fp32", "openvino-int8", "torch-fp32"]


def posts(programs: Path, model: Path, data: Path, cache: Path) -> tuple[Path, Path, float]:
    """TweetEval's tweets of 18 to 64 pieces, 28 in the mean: as texts for ours, as ids for the others."""
    lines = (data / "tweeteval" / "sentiment" / "test_text.txt").read_text(encoding="utf-8").splitlines()
    texts = "".join(json.dumps(line) + "\n" for line in lines)
    found = subprocess.run([programs / "tokenise", model / "vocab.txt", "128"], input=texts, capture_output=True, text=True, check=True)
    pairs = zip(lines, map(json.loads, found.stdout.splitlines()), strict=True)
    pairs = [(line, ids) for line, ids in pairs if SHORTEST <= len(ids) <= LONGEST][:POSTS]
    texts, ids = cache / "texts.jsonl", cache / "ids.json"
    texts.write_text("".join(json.dumps(line) + "\n" for line, _ in pairs))
    ids.write_text(json.dumps([row for _, row in pairs]))
    return texts, ids, statistics.mean(len(row) for _, row in pairs)


class Side:
    """Workers that read for some seconds on command, and report the posts per second of the clock and of processor time."""

    def __init__(self, name: str, commands: list[list]) -> None:
        self.name = name
        self.workers = [
            subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for command in commands
        ]

    def round(self, seconds: float) -> tuple[float, float]:
        for worker in self.workers:
            print(seconds, file=worker.stdin, flush=True)
        answers = [tuple(map(float, worker.stdout.readline().split())) for worker in self.workers]
        return sum(clock for clock, _ in answers), statistics.mean(processor for _, processor in answers)

    def warm(self) -> str | None:
        try:
            self.round(0.5)
        except (ValueError, BrokenPipeError):
            return "did not start"
        return None


def main(programs: str, model: str, data: str, cache: str, rounds: str, seconds: str) -> None:
    programs, model, cache = Path(programs), Path(model), Path(cache)
    texts, ids, mean = posts(programs, model, Path(data), cache)
    version = json.loads((model / "config.json").read_text())["version"]
    print(f"{version}: {POSTS} tweets, {mean:.1f} tokens each; {WORKERS} workers of one thread; medians of {rounds} rounds of {seconds} s, in turns")
    sides = [Side(f"limbic, {what}", [[programs / "throughput", model, texts, what, WORKERS]]) for what in ("numbers", "readings")]
    for peer in PEERS:
        subprocess.run([sys.executable, HERE / "peer.py", "make", peer, model, ids, cache], check=False)
        sides.append(Side(peer, [[sys.executable, HERE / "peer.py", "read", peer, model, ids, cache]] * WORKERS))
    subprocess.run([sys.executable, HERE / "peer.py", "make", "rten-fp32", model, ids, cache], check=False)
    for peer, file in RTEN.items():
        command = ["env", "RTEN_NUM_THREADS=1", programs.parent / "peer-rten", cache / file, ids, cache / "labels.json"]
        sides.append(Side(peer, [command] * WORKERS))
    ready = []
    for side in sides:
        if trouble := side.warm():
            print(f"{side.name}: {trouble}, left out")
        else:
            ready.append(side)
    found = defaultdict(list)
    for _ in range(int(rounds)):
        for side in ready:
            found[side.name].append(side.round(float(seconds)))
    print(f"\n{'engine':<24} {'posts/s':>8}  {'least':>6} {'most':>6}  {'a processor second':>18}")
    for name, rounds_found in found.items():
        clock, processor = zip(*rounds_found)
        print(f"{name:<24} {statistics.median(clock):8.0f}  {min(clock):6.0f} {max(clock):6.0f}  {statistics.median(processor):18.0f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
