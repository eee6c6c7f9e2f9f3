"""Computes the teachers' mean scores of every post that the student learns from.

    python teach.py --stage student --cache ~/.cache/limbic/train
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy
import torch

import base
import posts
import recipe
from batches import Corpus
from encoder import Encoder, pooled

POSTS_A_BATCH = 512


def has_bfloat16(device: torch.device) -> bool:
    """Returns whether products of 16-bit numbers are fast: on every GPU here, and on processors with instructions for them."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return device.type == "cuda" or "avx512_bf16" in flags or "amx_bf16" in flags


def tasks_of(stage: recipe.Stage) -> list[posts.Task]:
    """Returns the shipped tasks that the stage's teachers learnt, or that the stage learns from labels itself."""
    if stage.kind == "labels":
        learnt = set(stage.passes)
    else:
        learnt = {name for teacher in teachers_of(stage) if teacher != base.SHIPPED for name in stage_of(teacher).passes}
    if posts.CONTRAST in learnt:
        learnt |= set(posts.TOLD_TASKS)
    return [task for task in posts.TASKS if task.shipped and task.name in learnt]


def stage_of(name: str) -> recipe.Stage:
    return recipe.STAGES[name.split(".")[0]]


def teachers_of(stage: recipe.Stage) -> dict[str, float]:
    return stage.teachers or {stage.start: 1.0}


def sets_of(stage: recipe.Stage) -> list[tuple[str, str]]:
    return [(name, stem) for name in stage.passes for stem in stage.sources.get(name, [name])]


def models(teacher: str, cache: Path) -> list[tuple[str, float, Encoder, set[str]]]:
    """Returns the models of a teacher: their names, the share of each in the teacher's scores, and the tasks that they know."""
    if teacher == base.SHIPPED:
        return [(teacher, 1.0, base.shipped(), base.shipped_tasks())]
    stage = stage_of(teacher)
    tasks = {task.name for task in tasks_of(stage)}
    paths = sorted(path for path in cache.glob(teacher) if (path / "weights.safetensors").exists())
    assert paths, f"no teachers {teacher} in {cache}"
    blank = lambda: base.blank(len(base.pieces()), stage.depth)  # noqa: E731
    return [(path.name, 1 / len(paths), base.load(blank(), base.started(cache, path.name)), tasks) for path in paths]


def mean_scores(stage_name: str, cache: Path, device: torch.device) -> None:
    """Writes a matrix of 16-bit scores, posts × labels of all tasks side by side, in the corpus's order. A teacher that does not know a task
    does not count for it, and the shipped model does not count for written posts."""
    stage = recipe.STAGES[stage_name]
    tasks = tasks_of(stage)
    corpus = Corpus(cache / "tokens", sets_of(stage), device)
    order = numpy.argsort(corpus.lengths, kind="stable")
    widths = [len(task.labels) for task in tasks]
    scores = torch.zeros(len(order), sum(widths), device=device)
    shares = torch.zeros(len(order), len(tasks), device=device)
    is_written = torch.zeros(len(order), dtype=torch.bool, device=device)
    if posts.CONTRAST in corpus.names:
        is_written[corpus.sent(corpus.members(posts.CONTRAST))] = True
    for teacher, share in teachers_of(stage).items():
        for name, part, model, knows in models(teacher, cache):
            model.to(device).eval()
            counts = torch.tensor([share * part * (task.name in knows) for task in tasks], device=device)
            with torch.no_grad():
                for first in range(0, len(order), POSTS_A_BATCH):
                    batch = order[first : first + POSTS_A_BATCH]
                    which = corpus.sent(batch)
                    ids, present = corpus.padded(which, int(corpus.lengths[batch].max()))
                    with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
                        hidden = model.layers(model.embed(ids), present)[model.depth]
                    read = pooled(hidden.float(), present)
                    said = []
                    for task in tasks:
                        logits = model.heads[task.name](read)
                        said.append(logits.softmax(-1) if task.kind == "softmax" else logits.sigmoid())
                    weight = counts.expand(len(batch), -1).clone()
                    if teacher == base.SHIPPED:
                        weight[is_written[which]] = 0.0
                    shares[which] += weight
                    scores[which] += torch.cat(said, 1) * weight.repeat_interleave(torch.tensor(widths, device=device), 1)
            print(f"{name}: read {len(order)} posts", flush=True)
    scores /= shares.clamp(min=1e-6).repeat_interleave(torch.tensor(widths, device=device), 1)
    folder = cache / "scores"
    folder.mkdir(exist_ok=True)
    torch.save(scores.half().cpu(), folder / f"{stage_name}.part")
    (folder / f"{stage_name}.part").replace(folder / f"{stage_name}.pt")


def targets(stage: recipe.Stage, corpus: Corpus, cache: Path):
    """Returns the tasks, the target scores (mixed with labels where there are any), and weights of one."""
    name = next(name for name, other in recipe.STAGES.items() if other is stage)
    scores = torch.load(cache / "scores" / f"{name}.pt", weights_only=True).to(corpus.device)
    assert len(scores) == len(corpus.of), "the posts changed since the teachers scored them: remove the folder scores and run again"
    tasks = tasks_of(stage)
    labels, weights = corpus.labelled(tasks, 0.0)
    share = torch.full((len(corpus.of), 1), recipe.LABEL_SHARE, device=corpus.device)
    for set_name, part in ((posts.CONTRAST, 1.0), (posts.ORDINARY, recipe.ORDINARY_LABEL_SHARE)):
        if set_name in corpus.names:
            share[corpus.sent(corpus.members(set_name))] = part
    share = share * (weights > 0)
    share = torch.repeat_interleave(share, torch.tensor([len(task.labels) for task in tasks], device=corpus.device), 1)
    # A label that is not known leaves the teachers' score.
    labels = torch.where(labels.isnan(), scores, labels)
    return tasks, torch.lerp(scores.float(), labels.float(), share.float()).half(), torch.ones_like(weights)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--stage", required=True)
    arguments.add_argument("--cache", type=Path, required=True)
    given = arguments.parse_args()
    mean_scores(given.stage, given.cache, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
