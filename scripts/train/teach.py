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
from encoder import pooled

POSTS_A_BATCH = 512


def has_bfloat16(device: torch.device) -> bool:
    """Returns whether products of 16-bit numbers are fast: on every GPU here, and on processors with instructions for them."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return device.type == "cuda" or "avx512_bf16" in flags or "amx_bf16" in flags


def tasks_of(stage: recipe.Stage) -> list[posts.Task]:
    """Returns the shipped tasks that the stage's teachers learnt, or that the stage learns from labels itself."""
    learnt = set((stage if stage.kind == "labels" else teacher_of(stage)).passes)
    if posts.CONTRAST in learnt:
        learnt |= set(posts.TOLD_TASKS)
    return [task for task in posts.TASKS if task.shipped and task.name in learnt]


def teacher_of(stage: recipe.Stage) -> recipe.Stage:
    return recipe.STAGES[stage.start.split(".")[0]]


def sets_of(stage: recipe.Stage) -> list[tuple[str, str]]:
    return [(name, stem) for name in stage.passes for stem in stage.sources.get(name, [name])]


def mean_scores(stage_name: str, cache: Path, device: torch.device) -> None:
    """Writes a matrix of 16-bit scores, posts × labels of all tasks side by side, in the corpus's order."""
    stage = recipe.STAGES[stage_name]
    tasks = tasks_of(stage)
    corpus = Corpus(cache / "tokens", sets_of(stage), device)
    order = numpy.argsort(corpus.lengths, kind="stable")
    scores = torch.zeros(len(order), sum(len(task.labels) for task in tasks), device=device)
    paths = sorted(cache.glob(stage.start))
    assert paths, f"no teachers {stage.start} in {cache}"
    for path in paths:
        model = base.load(base.model(cache, teacher_of(stage).base), base.started(cache, path.name))
        model.to(device).eval()
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
                scores[which] += torch.cat(said, 1) / len(paths)
        print(f"{path.name}: read {len(order)} posts", flush=True)
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
    share = recipe.LABEL_SHARE * torch.repeat_interleave(weights, torch.tensor([len(task.labels) for task in tasks], device=corpus.device), 1)
    # A label that is not known leaves the teachers' score.
    labels = torch.where(labels.isnan(), scores, labels)
    return tasks, torch.lerp(scores.float(), labels.float(), share.clamp(max=recipe.LABEL_SHARE).float()).half(), torch.ones_like(weights)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--stage", required=True)
    arguments.add_argument("--cache", type=Path, required=True)
    given = arguments.parse_args()
    mean_scores(given.stage, given.cache, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
