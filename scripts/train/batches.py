"""The order of posts: mixed over tasks, of nearly equal length within a batch, the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy
import torch

import posts


class Corpus:
    """All posts of some tasks and one split, as ragged arrays."""

    def __init__(self, cache: Path, wanted: list[tuple[str, str, str]]) -> None:
        """`wanted` lists (task, file's stem, split): a task may take the posts of several files."""
        self.tasks: list[str] = []
        self.ids: list[numpy.ndarray] = []
        self.targets: list = []
        for task, stem, split in wanted:
            with numpy.load(cache / f"{stem}.{split}.npz") as file:
                offsets, ids, targets = file["offsets"], file["ids"], file["targets"]
            for number in range(len(targets)):
                self.tasks.append(task)
                self.ids.append(ids[offsets[number] : offsets[number + 1]])
                self.targets.append(targets[number])
        self.lengths = numpy.array([len(row) for row in self.ids])

    def of(self, task: str) -> numpy.ndarray:
        return numpy.array([i for i, name in enumerate(self.tasks) if name == task])


def schedule(corpus: Corpus, passes: dict[str, float], tokens: int, workers: int, seed: int) -> list[numpy.ndarray]:
    """Batches of about `tokens` tokens; `workers` neighbours in the list have nearly the same cost.

    Every task's posts are spread evenly over the run: `passes` times each, a part of them in the last pass.
    """
    random = numpy.random.default_rng(seed)
    when, which = [], []
    for task, times in passes.items():
        members = corpus.of(task)
        order = numpy.concatenate([random.permutation(members) for _ in range(int(numpy.ceil(times)))])[: round(times * len(members))]
        which.append(order)
        when.append((numpy.arange(len(order)) + random.random(len(order))) / max(len(order), 1))
    which = numpy.concatenate(which)[numpy.argsort(numpy.concatenate(when), kind="stable")]
    batches = []
    pool = 40 * tokens // 25
    for begin in range(0, len(which), pool):
        chunk = which[begin : begin + pool]
        chunk = chunk[numpy.argsort(corpus.lengths[chunk], kind="stable")]
        cut, first = [], 0
        while first < len(chunk):
            last = first + 1
            while last < len(chunk) and (last + 1 - first) * corpus.lengths[chunk[last]] <= tokens:
                last += 1
            cut.append(chunk[first:last])
            first = last
        groups = [cut[i : i + workers] for i in range(0, len(cut), workers)]
        groups = [group for group in groups if len(group) == workers]
        for group in random.permutation(len(groups)):
            batches.extend(groups[group])
    return batches


def padded(rows: list[numpy.ndarray]):
    """Ids as a matrix, and which of them are no padding (None where none is)."""
    longest = max(map(len, rows))
    ids = numpy.zeros((len(rows), longest), numpy.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
    ids = torch.from_numpy(ids)
    if all(len(row) == longest for row in rows):
        return ids, None
    present = torch.arange(longest)[None, :] < torch.tensor([len(row) for row in rows])[:, None]
    return ids, present


def targets_by_task(corpus: Corpus, batch) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """For each task of the batch: the rows that carry it, and their targets."""
    found: dict[str, list[int]] = {}
    for row, number in enumerate(batch):
        found.setdefault(corpus.tasks[number], []).append(row)
    result = {}
    for task, rows in found.items():
        kind = torch.int64 if posts.BY_NAME[task].kind == "softmax" else torch.float32
        result[task] = (torch.tensor(rows), torch.tensor(numpy.array([corpus.targets[batch[row]] for row in rows]), dtype=kind))
    return result
