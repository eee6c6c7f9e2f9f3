"""Orders posts into batches: mixed over data sets, of nearly equal length within a batch, and the same for the same seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy
import torch

import posts
import recipe


class Corpus:
    """All training posts of some data sets as one ragged array of ids on the device, and each set's targets."""

    def __init__(self, tokens: Path, wanted: list[tuple[str, str]], device: torch.device) -> None:
        """`wanted` lists pairs of (set, stem of its file). A set may take the posts of several files."""
        self.device = device
        self.names = sorted({name for name, _ in wanted})
        ids, lengths, of, rows = [], [], [], []
        targets: dict[str, list] = {name: [] for name in self.names}
        groups, ranks = [], []
        for name, stem in wanted:
            with numpy.load(tokens / f"{stem}.train.npz") as file:
                ids.append(file["ids"])
                lengths.append(numpy.diff(file["offsets"]))
                begin = sum(map(len, targets[name]))
                targets[name].append(file["targets"])
                alone = numpy.full(len(file["targets"]), -1)
                groups.append(file["groups"] if "groups" in file else alone)
                ranks.append(file["ranks"] if "ranks" in file else alone)
            of.append(numpy.full(len(lengths[-1]), self.names.index(name)))
            rows.append(begin + numpy.arange(len(lengths[-1])))
        self.lengths = numpy.concatenate(lengths)
        self.of, self.rows = numpy.concatenate(of), numpy.concatenate(rows)
        # Group and rank of written posts; -1 for a post without one.
        self.group, self.rank = numpy.concatenate(groups), numpy.concatenate(ranks)
        self.groups, self.ranks = self.sent(self.group), self.sent(self.rank)
        self.ids = torch.from_numpy(numpy.concatenate(ids).astype(numpy.int32)).to(device)
        self.begins = torch.from_numpy(numpy.cumsum(numpy.concatenate([[0], self.lengths[:-1]]))).to(device)
        self.sizes = torch.from_numpy(self.lengths.astype(numpy.int64)).to(device)
        self.targets = {name: numpy.concatenate(parts) for name, parts in targets.items()}

    def members(self, name: str) -> numpy.ndarray:
        return numpy.flatnonzero(self.of == self.names.index(name))

    def sent(self, array: numpy.ndarray) -> torch.Tensor:
        return torch.from_numpy(numpy.ascontiguousarray(array, dtype=numpy.int64)).to(self.device)

    def padded(self, which: torch.Tensor, length: int):
        """Returns ids as a matrix of `length` columns, and a mask of the tokens that are not padding."""
        place = torch.arange(length, device=self.device)[None, :]
        present = place < self.sizes[which][:, None]
        ids = self.ids[(self.begins[which][:, None] + place).clamp_(max=len(self.ids) - 1)].long()
        return ids.masked_fill_(~present, 0), present

    def labelled(self, tasks: list[posts.Task], smoothing: float):
        """Returns the targets of all tasks side by side (posts × columns) and the tasks for which a post has a label (posts × tasks)."""
        targets = torch.zeros(len(self.of), sum(len(task.labels) for task in tasks), device=self.device)
        weights = torch.zeros(len(self.of), len(tasks), device=self.device)
        begin = 0
        for number, task in enumerate(tasks):
            if task.name in self.names:
                members = self.members(task.name)
                truth = torch.from_numpy(self.targets[task.name][self.rows[members]]).to(self.device)
                if task.kind == "softmax":
                    truth = torch.nn.functional.one_hot(truth, len(task.labels)).float()
                    truth = truth * (1 - smoothing) + smoothing / len(task.labels)
                members = self.sent(members)
                targets[members, begin : begin + len(task.labels)] = truth.float().reshape(len(members), -1)
                weights[members, number] = 1.0
            for name in (*posts.WRITTEN, posts.ORDINARY):
                if name in self.names and task.name in posts.COLUMNS:
                    members = self.members(name)
                    truth = torch.from_numpy(self.targets[name][self.rows[members]][:, posts.COLUMNS[task.name]]).to(self.device)
                    known = ~truth.isnan()
                    # Of a task whose labels exclude each other all are known or none; of another, each on its own (`loss_of`).
                    truth = truth if task.kind == "sigmoid" else truth.nan_to_num(0.0)
                    members = self.sent(members)
                    targets[members, begin : begin + len(task.labels)] = truth
                    weights[members, number] = known.any(1).float() * (recipe.ORDINARY_WEIGHT if name == posts.ORDINARY else 1.0)
            begin += len(task.labels)
        return targets.half(), weights.half()


# Batches have these lengths only, so that a GPU can replay recorded steps.
LENGTHS = (16, 24, 32, 40, 48, 64, 96, 128)


@dataclass(frozen=True)
class Batch:
    """Posts by their numbers, padded to `length`. A grouped batch holds whole groups, and has consistency losses."""

    length: int
    posts: numpy.ndarray
    is_grouped: bool = False


def schedule(corpus: Corpus, passes: dict[str, float], tokens: int, seed: int) -> list[Batch]:
    """Batches of one of the lengths and as many posts as make `tokens`, padding counted; batches of whole groups spread evenly among them.

    Every set's posts are spread evenly over the run: `passes` times each, a part of them in the last pass. Posts that fill no
    batch of their length at the end are left out.
    """
    random = numpy.random.default_rng(seed)
    when, which = [], []
    for name, times in passes.items():
        members = corpus.members(name)
        members = members[corpus.group[members] < 0]
        order = numpy.concatenate([random.permutation(members) for _ in range(int(numpy.ceil(times)))])[: round(times * len(members))]
        which.append(order)
        when.append((numpy.arange(len(order)) + random.random(len(order))) / max(len(order), 1))
    which = numpy.concatenate(which)[numpy.argsort(numpy.concatenate(when), kind="stable")]
    bucket = numpy.searchsorted(LENGTHS, corpus.lengths[which])
    ends, batches = [], []
    for number, length in enumerate(LENGTHS):
        places = numpy.flatnonzero(bucket == number)
        size = tokens // length
        for first in range(0, len(places) - size + 1, size):
            part = places[first : first + size]
            ends.append(part[-1])
            batches.append(Batch(length, which[part]))
    single = [batches[i] for i in numpy.argsort(ends, kind="stable")]
    grouped = [batch for name, times in passes.items() for batch in in_groups(corpus, name, times, tokens, random)]
    places = numpy.concatenate([numpy.arange(len(part)) / max(len(part), 1) for part in (single, grouped)])
    both = single + grouped
    return [both[i] for i in numpy.argsort(places, kind="stable")]


def in_groups(corpus: Corpus, name: str, times: float, tokens: int, random) -> list[Batch]:
    """Returns batches of whole groups of a set, each group `times` times. A batch has the length of its longest post."""
    members = corpus.members(name)
    members = members[corpus.group[members] >= 0]
    members = members[numpy.argsort(corpus.group[members], kind="stable")]
    if not len(members):
        return []
    groups = numpy.split(members, numpy.flatnonzero(numpy.diff(corpus.group[members])) + 1)
    order = numpy.concatenate([random.permutation(len(groups)) for _ in range(int(numpy.ceil(times)))])[: round(times * len(groups))]
    bucket = numpy.array([numpy.searchsorted(LENGTHS, corpus.lengths[group].max()) for group in groups])
    batches = []
    for number, length in enumerate(LENGTHS):
        part: list[numpy.ndarray] = []
        for place in order[bucket[order] == number]:
            if sum(map(len, part)) + len(groups[place]) > tokens // length:
                batches.append(Batch(length, numpy.concatenate(part), True))
                part = []
            part.append(groups[place])
        if part:
            batches.append(Batch(length, numpy.concatenate(part), True))
    return [batches[i] for i in random.permutation(len(batches))]


def padded(rows: list[numpy.ndarray]):
    """Returns ids as a matrix, and a mask of the tokens that are not padding."""
    longest = max(map(len, rows))
    ids = numpy.zeros((len(rows), longest), numpy.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
    present = torch.arange(longest)[None, :] < torch.tensor([len(row) for row in rows])[:, None]
    return torch.from_numpy(ids), present
