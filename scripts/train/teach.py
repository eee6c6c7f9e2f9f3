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
from batches import Corpus, schedule
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


def scores_folder(stage: recipe.Stage, cache: Path) -> Path:
    """Returns the folder of the scores: stages with the same teachers share it."""
    said = "+".join(f"{name.replace('.*', '')}-{share}" for name, share in sorted(teachers_of(stage).items()))
    return cache / "scores" / (said + "-few" if stage.reads_few else said)


def mean_scores(stage_name: str, cache: Path, device: torch.device) -> None:
    """Writes a matrix of 16-bit scores for each file of posts: posts × labels of all tasks side by side. A file that has its scores is left out."""
    stage = recipe.STAGES[stage_name]
    folder = scores_folder(stage, cache)
    folder.mkdir(parents=True, exist_ok=True)
    used = used_by(stage, cache, device)
    for name, stem in sets_of(stage):
        path = folder / f"{stem}.pt"
        if not path.exists():
            torch.save(scores_of(stage, name, stem, used and used[stem], cache, device), folder / f"{stem}.part")
            (folder / f"{stem}.part").replace(path)


def used_by(stage: recipe.Stage, cache: Path, device: torch.device) -> dict[str, numpy.ndarray] | None:
    """Returns the posts of each file that a stage uses with seed 1, if its teachers read no others."""
    if not stage.reads_few:
        return None
    sets = sets_of(stage)
    whole = Corpus(cache / "tokens", sets, device)
    is_used = numpy.zeros(len(whole.of), bool)
    for batch in schedule(whole, stage.passes, stage.tokens, 1):
        is_used[batch.posts] = True
    sizes = [len(Corpus(cache / "tokens", [one], device).of) for one in sets]
    return {stem: numpy.flatnonzero(part) for (_, stem), part in zip(sets, numpy.split(is_used, numpy.cumsum(sizes)[:-1]))}


def scores_of(stage: recipe.Stage, name: str, stem: str, used: numpy.ndarray | None, cache: Path, device: torch.device):
    """Returns the teachers' mean scores for the posts of a file, or zeros for those that are not `used`. A teacher that does not know a task does not
    count for it, and the shipped model does not count for written posts."""
    tasks = tasks_of(stage)
    corpus = Corpus(cache / "tokens", [(name, stem)], device)
    which = numpy.arange(len(corpus.lengths)) if used is None else used
    order = which[numpy.argsort(corpus.lengths[which], kind="stable")]
    widths = torch.tensor([len(task.labels) for task in tasks], device=device)
    scores = torch.zeros(len(corpus.lengths), int(widths.sum()), device=device)
    shares = torch.zeros(len(tasks), device=device)
    for teacher, share in teachers_of(stage).items():
        if (teacher == base.SHIPPED and name in posts.WRITTEN) or name not in stage.reads.get(teacher, [name]):
            continue
        for model_name, part, model, knows in models(teacher, cache):
            model.to(device).eval()
            weight = torch.tensor([share * part * (task.name in knows) for task in tasks], device=device)
            shares += weight
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
                    scores[which] += torch.cat(said, 1) * weight.repeat_interleave(widths)
            print(f"{model_name}: read {len(order)} posts of {stem}", flush=True)
    return (scores / shares.clamp(min=1e-6).repeat_interleave(widths)).half().cpu()


def targets(stage: recipe.Stage, corpus: Corpus, cache: Path):
    """Returns the tasks, the target scores (mixed with labels where there are any), and weights of one."""
    folder = scores_folder(stage, cache)
    scores = torch.cat([torch.load(folder / f"{stem}.pt", weights_only=True) for _, stem in sets_of(stage)]).to(corpus.device)
    assert len(scores) == len(corpus.of), f"the posts changed since the teachers scored them: remove {folder} and run again"
    tasks = tasks_of(stage)
    labels, weights = corpus.labelled(tasks, 0.0)
    share = torch.full((len(corpus.of), 1), recipe.LABEL_SHARE, device=corpus.device)
    for set_name, part in (*((name, 1.0) for name in posts.WRITTEN), (posts.ORDINARY, stage.ordinary_share)):
        if set_name in corpus.names:
            share[corpus.sent(corpus.members(set_name))] = part
    share = share * (weights > 0)
    share = torch.repeat_interleave(share, torch.tensor([len(task.labels) for task in tasks], device=corpus.device), 1)
    # A label that is not known leaves the teachers' score.
    is_unknown = labels.isnan()
    labels = torch.where(is_unknown, scores, labels)
    mixed, weights = torch.lerp(scores.float(), labels.float(), share.float()), torch.ones_like(weights)
    if stage.rest_is_calm:
        rest = (is_unknown | (share == 0))[:, columns(tasks)["distress"]].all(1)
        mixed, weights = calm(tasks, mixed, weights, rest)
    return tasks, mixed.half(), weights


def columns(tasks: list[posts.Task]) -> dict[str, slice]:
    ends = numpy.cumsum([len(task.labels) for task in tasks])
    return {task.name: slice(int(end) - len(task.labels), int(end)) for task, end in zip(tasks, ends)}


def calm(tasks: list[posts.Task], scores, weights, rest):
    """Returns the targets and weights with what is likely of posts without labels for distress (`rest`): a post that is not read as negative, or
    that is negative without sadness or fear, hardly ever tells of distress. Of the others nothing is known."""
    place = columns(tasks)
    is_negative = scores[:, place["sentiment"]][:, 0] >= recipe.NEGATIVE
    among = scores[:, place["goemotions"]]
    sad = torch.stack([among[:, posts.GOEMOTIONS.index(name)] for name in recipe.LIKE_DISTRESS]).max(0).values
    is_sad = (sad >= recipe.SAD) | (scores[:, place["emotion"]][:, posts.EMOTION.index("sadness")] >= recipe.NEGATIVE)
    scores[:, place["distress"]] = torch.where(rest[:, None], recipe.CALM, scores[:, place["distress"]])
    scores[:, place["distress"]] = torch.where((rest & is_negative & is_sad)[:, None], torch.nan, scores[:, place["distress"]])
    number = [task.name for task in tasks].index("distress")
    weights[:, number] = torch.where(rest, recipe.CALM_WEIGHT, weights[:, number].float()).to(weights.dtype)
    return scores, weights


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--stage", required=True)
    arguments.add_argument("--cache", type=Path, required=True)
    given = arguments.parse_args()
    mean_scores(given.stage, given.cache, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
