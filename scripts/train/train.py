"""Runs one stage of training, on a GPU if there is one.

    python train.py --stage teacher --seed 3 --cache ~/.cache/limbic/train

Nothing depends on the clock. A stage continues from its last checkpoint. On one device the same seed gives the same order of posts, and the
same weights up to the rounding of the device's sums.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

import base
import posts
import recipe
import teach
from batches import Batch, Corpus, schedule
from encoder import HIDDEN, Encoder, Norm, dropped, initialise, pooled

CHECKPOINT_EVERY = 2000
SAY_EVERY = 200
MASK, CLS, SEP, FIRST_WORD = 103, 101, 102, 999
MASKED_SHARE = 0.15


def loss_of(task: posts.Task, logits, target):
    """Returns one loss for each post. The targets are scores with the shape of the logits. A label that is NaN has no loss."""
    weight = recipe.LOSS_WEIGHT.get(task.name, 1.0)
    if task.kind == "softmax":
        return -weight * (target * F.log_softmax(logits, -1)).sum(-1)
    if task.kind == "sigmoid":
        loss = F.binary_cross_entropy_with_logits(logits, target.nan_to_num(0.0), reduction="none")
        return weight * loss.masked_fill(target.isnan(), 0.0).sum(-1)
    return weight * (torch.sigmoid(logits) - target).square().sum(-1)


def disagreement(task: posts.Task, one, other):
    """Returns the symmetric divergence of two outputs for each post, or the squared difference for a regression."""
    weight = recipe.LOSS_WEIGHT.get(task.name, 1.0)
    if task.kind == "softmax":
        one, other = F.log_softmax(one, -1), F.log_softmax(other, -1)
        return weight * 0.5 * ((one.exp() - other.exp()) * (one - other)).sum(-1)
    if task.kind == "sigmoid":
        return weight * 0.5 * ((torch.sigmoid(one) - torch.sigmoid(other)) * (one - other)).sum(-1)
    return weight * (torch.sigmoid(one) - torch.sigmoid(other)).square().sum(-1)


def unlike(task: posts.Task, logits, inverse):
    """Returns for each post the divergence of its output from the mean output of its group. `inverse` holds the groups' numbers."""
    groups = int(inverse.max()) + 1
    size = torch.zeros(groups, 1, device=logits.device).index_add_(0, inverse, torch.ones(len(inverse), 1, device=logits.device))
    chance = logits.softmax(-1) if task.kind == "softmax" else logits.sigmoid()
    mean = (torch.zeros(groups, chance.shape[1], device=logits.device).index_add(0, inverse, chance) / size)[inverse].clamp(1e-5, 1 - 1e-5)
    chance = chance.clamp(1e-5, 1 - 1e-5)
    loss = chance * (chance.log() - mean.log())
    if task.kind == "sigmoid":
        loss = loss + (1 - chance) * ((1 - chance).log() - (1 - mean).log())
    return recipe.LOSS_WEIGHT.get(task.name, 1.0) * loss.sum(-1)


def misordered(logits, group, rank):
    """Returns the shortfall of each step of the groups with ranks: how much the difference of positive and negative grows less than the margin."""
    order = torch.argsort(group * 64 + rank)
    chance = logits.softmax(-1)
    leaning = (chance[:, 2] - chance[:, 0])[order]
    is_step = (group[order][1:] == group[order][:-1]).float()
    return is_step * F.relu(recipe.ORDER_MARGIN - (leaning[1:] - leaning[:-1]))


class MaskedWords(nn.Module):
    """The head that predicts masked words: one layer, followed by the word embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(HIDDEN, HIDDEN)
        self.norm = Norm()
        self.apply(initialise)
        nn.init.eye_(self.dense.weight)

    def forward(self, hidden, words):
        return F.linear(self.norm(F.gelu(self.dense(hidden))), words)


class Run:
    """A stage's loss: the mean over the posts of a batch. All data is on the device. `lost` accumulates the losses for the log."""

    def __init__(self, stage: recipe.Stage, model: Encoder, corpus: Corpus, cache: Path) -> None:
        self.stage, self.model, self.corpus = stage, model, corpus
        self.extra = MaskedWords().to(corpus.device) if stage.kind == "masked" else nn.Module()
        if stage.kind == "scores":
            self.tasks, self.targets, self.weights = teach.targets(stage, corpus, cache)
        else:
            names = ["emoji"] if stage.kind == "masked" else list(stage.passes)
            names += posts.TOLD_TASKS if posts.CONTRAST in stage.passes else []
            self.tasks = [task for task in posts.TASKS if task.name in names]
            self.targets, self.weights = corpus.labelled(self.tasks, stage.smoothing)
        self.is_low = teach.has_bfloat16(corpus.device)
        # After the tasks: masked words, likeness and order within groups.
        self.lost = torch.zeros(len(self.tasks) + 3, 2, device=corpus.device)

    def loss(self, which, length: int, is_grouped: bool = False):
        ids, present = self.corpus.padded(which, length)
        if self.stage.kind == "masked":
            return self.masked(which, ids, present)
        readings = 2 if self.stage.agreement else 1
        states = self.states(ids.repeat(readings, 1), present.repeat(readings, 1))
        total = self.read(which, states[self.model.depth], present, self.model.heads, readings, self.lost, is_grouped)
        if self.stage.exits:
            for layer, heads in self.model.exits.items():
                total = total + recipe.EXIT_WEIGHT * self.read(which, states[int(layer)], present, heads, readings, None)
        return total

    def states(self, ids, present):
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=self.is_low, cache_enabled=False):
            return self.model.layers(self.model.embed(ids, self.stage.dropout), present, 0, self.stage.dropout)

    def read(self, which, hidden, present, heads, readings: int, lost, is_grouped: bool = False):
        """Returns the mean loss of these heads' outputs for the states, with that of consistency if the posts are whole groups."""
        read = dropped(pooled(hidden.float(), present.repeat(readings, 1)), self.stage.dropout, self.model.training)
        tasks = [(number, task) for number, task in enumerate(self.tasks) if task.name in heads]
        logits = F.linear(read, torch.cat([heads[task.name].weight for _, task in tasks]), torch.cat([heads[task.name].bias for _, task in tasks]))
        logits = logits.split([len(task.labels) for _, task in tasks], 1)
        targets = self.targets[which].float().split([len(task.labels) for task in self.tasks], 1)
        weights = self.weights[which].float()
        total = 0.0
        for (number, task), said in zip(tasks, logits):
            parts, weight = said.chunk(readings), weights[:, number]
            loss = (weight * sum(loss_of(task, part, targets[number]) for part in parts)).sum() / readings
            if lost is not None:
                lost[number, 0] += loss.detach()
                lost[number, 1] += weight.sum()
            if self.stage.agreement:
                loss = loss + self.stage.agreement * (weight * disagreement(task, *parts)).sum()
            total = total + loss
        if is_grouped:
            by_name = {task.name: said.chunk(readings)[0] for (_, task), said in zip(tasks, logits)}
            total = total + self.consistency(which, by_name, lost)
        return total / len(which)

    def consistency(self, which, logits: dict, lost):
        """Returns the loss of groups: without ranks the readings must be equal, with ranks they must rise."""
        group, rank = self.corpus.groups[which], self.corpus.ranks[which]
        alike = (group >= 0) & (rank < 0)
        total = torch.zeros((), device=group.device)
        if alike.any():
            _, inverse = torch.unique(group[alike], return_inverse=True)
            for name in recipe.SAME_TASKS:
                if name in logits:
                    total = total + self.stage.alike * unlike(posts.BY_NAME[name], logits[name][alike], inverse).sum()
        if lost is not None:
            lost[-2] += torch.stack([total.detach(), alike.sum()])
        ranked = rank >= 0
        if ranked.any() and "sentiment" in logits:
            short = recipe.ORDER_WEIGHT * misordered(logits["sentiment"][ranked], group[ranked], rank[ranked]).sum()
            total = total + short
            if lost is not None:
                lost[-1] += torch.stack([short.detach(), ranked.sum()])
        return total

    def masked(self, which, ids, present):
        words = present & (ids >= FIRST_WORD)
        # A fixed number, for posts that fill three quarters of their length on average.
        count = int(0.75 * MASKED_SHARE * ids.numel())
        chance = torch.rand(ids.shape, device=ids.device).masked_fill_(~words, -1.0)
        picked = chance.view(-1).topk(count).indices
        truth = ids.view(-1)[picked]
        what = torch.rand(count, device=ids.device)
        other = torch.randint(FIRST_WORD, self.model.embeddings.word_embeddings.num_embeddings, (count,), device=ids.device)
        shown = torch.where(what < 0.8, MASK, torch.where(what < 0.9, other, truth))
        hidden = self.states(ids.view(-1).scatter(0, picked, shown).view(ids.shape), present)[self.model.depth]
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=self.is_low, cache_enabled=False):
            guessed = self.extra(hidden.reshape(-1, HIDDEN).index_select(0, picked), self.model.embeddings.word_embeddings.weight)
        total = F.cross_entropy(guessed.float(), truth)
        self.lost[-3, 0] += total.detach()
        self.lost[-3, 1] += 1
        return total + self.read(which, hidden, present, self.model.heads, 1, self.lost)

    def said(self) -> dict[str, float]:
        names = [task.name for task in self.tasks] + ["masked words", "likeness", "order"]
        means = {name: round(total / count, 3) for name, (total, count) in zip(names, self.lost.tolist()) if count}
        self.lost.zero_()
        return means


class Steps:
    """Makes one step for a batch. On a GPU the kernels of a step are recorded once for each length and then replayed."""

    EAGER = 3

    def __init__(self, run: Run, optimiser) -> None:
        self.run, self.optimiser = run, optimiser
        self.cuda = run.corpus.device.type == "cuda"
        self.made: dict[int, int] = {}
        self.recorded: dict[int, tuple] = {}
        self.pool = torch.cuda.graph_pool_handle() if self.cuda else None

    def step(self, which, length: int, is_grouped: bool = False) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        self.run.loss(which, length, is_grouped).backward()
        torch.nn.utils.clip_grad_norm_(self.run.model.parameters(), 1.0, foreach=True)
        self.optimiser.step()

    def __call__(self, batch: Batch) -> None:
        which, length = self.run.corpus.sent(batch.posts), batch.length
        # Groups differ in number and size, so a step over them cannot be recorded.
        if batch.is_grouped:
            return self.step(which, length, True)
        if length in self.recorded:
            graph, place = self.recorded[length]
            place.copy_(which)
            graph.replay()
            return
        self.made[length] = self.made.get(length, 0) + 1
        if not self.cuda:
            return self.step(which, length)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            self.step(which, length)
        torch.cuda.current_stream().wait_stream(aside)
        if self.made[length] == self.EAGER:
            torch.cuda.synchronize()
            graph, place = torch.cuda.CUDAGraph(), which.clone()
            self.optimiser.zero_grad(set_to_none=True)
            with torch.cuda.graph(graph, pool=self.pool):
                self.step(place, length)
            self.recorded[length] = graph, place


def rate_of(name: str, stage: recipe.Stage) -> float:
    """Returns the learning rate of a tensor. Lower layers learn more slowly, heads three times faster."""
    if name.startswith("encoder.layer."):
        return stage.rate * stage.layer_decay ** (stage.depth - 1 - int(name.split(".")[2]))
    if name.startswith("embeddings."):
        return stage.rate * stage.layer_decay**stage.depth
    return 3 * stage.rate


def optimiser_of(run: Run, stage: recipe.Stage):
    groups: dict[tuple[float, float], list] = {}
    for module in (run.model, run.extra):
        for name, parameter in module.named_parameters():
            decays = name.endswith("weight") and "norm" not in name.lower() and "embeddings" not in name
            groups.setdefault((rate_of(name, stage) if module is run.model else stage.rate, 0.01 if decays else 0.0), []).append(parameter)
    device = run.corpus.device
    capturable = device.type == "cuda"
    made = []
    for (rate, decay), part in groups.items():
        # A recorded step reads its rate from the device.
        lr = torch.tensor(rate, device=device) if capturable else rate
        made.append({"params": part, "peak": rate, "lr": lr, "weight_decay": decay})
    return torch.optim.AdamW(made, betas=(0.9, 0.98), eps=1e-6, fused=True, capturable=capturable)


def set_rate(group, rate: float) -> None:
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def pace(step: int, steps: int, stage: recipe.Stage) -> float:
    warmup = max(1, round(stage.warmup * steps))
    return min((step + 1) / warmup, (steps - step) / (steps - warmup + 1))


def save(path: Path, value) -> None:
    aside = path.with_suffix(".part")
    torch.save(value, aside)
    aside.replace(path)


def train(stage_name: str, seed: int, cache: Path, device: torch.device, until: int | None) -> None:
    stage = recipe.STAGES[stage_name]
    folder = cache / f"{stage_name}.{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    ends = folder / "weights.safetensors"
    if ends.exists():
        print(f"{stage_name}.{seed}: done", flush=True)
        return
    torch.manual_seed(seed)
    if stage.start == "base":
        model = base.model(cache, stage.base)
    elif stage.start == base.SHIPPED:
        model = base.shipped()
    else:
        model = base.load(base.blank(len(base.pieces()), stage.depth), base.started(cache, stage.start))
    model.to(device).train()
    corpus = Corpus(cache / "tokens", [(name, stem) for name in stage.passes for stem in stage.sources.get(name, [name])], device)
    batches = schedule(corpus, stage.passes, stage.tokens, seed)[:until]
    run = Run(stage, model, corpus, cache)
    optimiser = optimiser_of(run, stage)
    steps, first = len(batches), 0
    if (folder / "checkpoint.pt").exists():
        kept = torch.load(folder / "checkpoint.pt", weights_only=True, map_location=device)
        first = kept["step"]
        model.load_state_dict(kept["model"])
        run.extra.load_state_dict(kept["extra"])
        optimiser.load_state_dict(kept["moments"])
        torch.manual_seed(seed + 1_000_003 * first)
    count = sum(len(batch.posts) for batch in batches)
    print(f"{stage_name}.{seed}: {count} posts in {steps} steps, from step {first}, on {device}", flush=True)
    make_step = Steps(run, optimiser)
    began, seen = time.time(), 0
    for step in range(first, steps):
        for group in optimiser.param_groups:
            set_rate(group, group["peak"] * pace(step, steps, stage))
        make_step(batches[step])
        seen += len(batches[step].posts)
        done = step + 1
        if done % SAY_EVERY == 0 or done == steps:
            means = run.said()
            assert all(mean == mean for mean in means.values()), means
            print(json.dumps({"stage": f"{stage_name}.{seed}", "step": done, "of": steps, "posts/s": round(seen / (time.time() - began)), "loss": means}), flush=True)
            began, seen = time.time(), 0
        if done % CHECKPOINT_EVERY == 0 and done < steps:
            save(folder / "checkpoint.pt", {"step": done, "model": model.state_dict(), "extra": run.extra.state_dict(), "moments": optimiser.state_dict()})
    save_file({name: tensor.half().cpu().contiguous() for name, tensor in model.state_dict().items()}, folder / "weights.part")
    (folder / "weights.part").replace(ends)
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--stage", required=True, choices=recipe.STAGES)
    arguments.add_argument("--cache", type=Path, required=True)
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--until", type=int, help="stop after this number of steps, as if there were no more (for a trial run)")
    given = arguments.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = True
    train(given.stage, given.seed, given.cache, device, given.until)


if __name__ == "__main__":
    main()
