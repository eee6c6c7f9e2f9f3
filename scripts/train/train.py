"""One stage of training, by workers of one thread each that share their parameters' memory.

    python train.py --process limbic-train-worker --stage shared --cache ~/.cache/limbic/train

Two workers of one thread use two cores better than one of two threads, and far better where other work shares the machine.
Each computes the gradient of its own batch; then each adds the other's to its own for the half of the parameters that it
keeps the moments of, and steps them. Nothing depends on the clock; a stage goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.multiprocessing
import torch.nn.functional as F

import base
import posts
import recipe
from batches import Corpus, padded, schedule, targets_by_task
from encoder import Encoder, LAYERS, pooled

CHECKPOINT_EVERY = 100
AVERAGE_EVERY = 5


def loss_of(task: str, logits, target, smoothing: float):
    kind = posts.BY_NAME[task].kind
    if kind == "softmax":
        loss = F.cross_entropy(logits, target, label_smoothing=smoothing, reduction="sum")
    elif kind == "sigmoid":
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="sum")
    else:
        loss = F.mse_loss(torch.sigmoid(logits[:, 0]), target, reduction="sum")
    return recipe.LOSS_WEIGHT.get(task, 1.0) * loss


def batch_loss(model: Encoder, stage: recipe.Stage, hidden, present, targets, log: dict):
    states = model.layers(hidden, present, stage.frozen, stage.dropout)
    total = 0.0
    for layer, state in states.items():
        heads = model.heads if layer == LAYERS else model.exits[str(layer)] if str(layer) in model.exits else None
        if heads is None:
            continue
        read = F.dropout(pooled(state, present), 0.1, model.training)
        for task, (rows, target) in targets.items():
            if task in heads:
                loss = loss_of(task, heads[task](read[rows]), target, stage.smoothing)
                total = total + (1.0 if layer == LAYERS else recipe.EXIT_WEIGHT) * loss
                if layer == LAYERS:
                    seen = log.setdefault(task, [0.0, 0])
                    seen[0] += loss.item()
                    seen[1] += len(rows)
    return total / hidden.shape[0]


def rate_of(name: str, stage: recipe.Stage) -> float | None:
    """The learning rate of a tensor; None where it is frozen. Lower layers learn more slowly, heads three times faster."""
    if name.startswith("heads."):
        return 3 * stage.rate
    if name.startswith("exits."):
        return None if int(name.split(".")[1]) <= stage.frozen else 3 * stage.rate
    if name.startswith("encoder.layer."):
        number = int(name.split(".")[2])
        return None if number < stage.frozen else stage.rate * stage.layer_decay ** (LAYERS - 1 - number)
    return None if stage.frozen else stage.rate * stage.layer_decay**LAYERS


def pace(step: int, steps: int, stage: recipe.Stage) -> float:
    left = (steps - step) / max(stage.cooldown * steps, 1)
    return min(1.0, (step + 1) / stage.warmup, left if stage.cooldown else 1.0)


class Shared:
    """The memory that the workers share: parameters, their running average, and one gradient for each worker."""

    def __init__(self, model: Encoder, names: list[str], workers: int) -> None:
        self.names = names
        parameters = dict(model.named_parameters())
        self.shapes = [parameters[name].shape for name in names]
        sizes = [shape.numel() for shape in self.shapes]
        self.begins = [sum(sizes[:i]) for i in range(len(sizes))]
        self.sizes = sizes
        self.values = torch.cat([parameters[name].detach().reshape(-1) for name in names]).share_memory_()
        self.averages = self.values.clone().share_memory_()
        self.gradients = [torch.zeros_like(self.values).share_memory_() for _ in range(workers)]
        # Parameters by worker: the largest first, each to whoever has least.
        self.owner, load = {}, [0] * workers
        for number in sorted(range(len(names)), key=lambda i: -sizes[i]):
            worker = load.index(min(load))
            self.owner[number] = worker
            load[worker] += sizes[number]

    def view(self, flat, number: int):
        return flat[self.begins[number] : self.begins[number] + self.sizes[number]].view(self.shapes[number])

    def state(self, flat) -> dict[str, torch.Tensor]:
        return {name: self.view(flat, number) for number, name in enumerate(self.names)}


def work(rank: int, stage_name: str, folder: Path, cache: Path, model: Encoder, shared: Shared, corpus, batches, first: int, barrier, seed: int, frozen):
    torch.set_num_threads(1)
    stage = recipe.STAGES[stage_name]
    workers = len(shared.gradients)
    steps = len(batches) // workers
    parameters = dict(model.named_parameters())
    for number, name in enumerate(shared.names):
        parameters[name].data = shared.view(shared.values, number)
        parameters[name].grad = shared.view(shared.gradients[rank], number)
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in set(shared.names))
    mine = [number for number in range(len(shared.names)) if shared.owner[number] == rank]
    groups = []
    for number in mine:
        name = shared.names[number]
        decays = name.endswith("weight") and "LayerNorm" not in name and "embeddings" not in name
        groups.append({"params": [parameters[name]], "peak": rate_of(name, stage), "weight_decay": 0.01 if decays else 0.0})
    optimiser = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.99), eps=1e-7, fused=True)
    if first:
        optimiser.load_state_dict(torch.load(folder / f"moments.{rank}.{first}.pt", weights_only=True))
    model.train()
    parent = os.getppid()
    log: dict = {}
    began, tokens_seen = time.time(), 0
    for step in range(first, steps):
        if os.getppid() != parent:
            raise SystemExit("the parent is gone")
        torch.manual_seed(seed * 1_000_003 + step * workers + rank)
        batch = batches[step * workers + rank]
        shared.gradients[rank].zero_()
        if frozen is None:
            ids, present = padded([corpus.ids[i] for i in batch])
            hidden = model.embed(ids, stage.dropout)
        else:
            hidden, present = frozen.take(batch)
        tokens_seen += hidden.shape[0] * hidden.shape[1]
        batch_loss(model, stage, hidden, present, targets_by_task(corpus, batch), log).backward()
        barrier.wait()
        for number in mine:
            gradient = parameters[shared.names[number]].grad
            for other in range(workers):
                if other != rank:
                    gradient.add_(shared.view(shared.gradients[other], number))
            gradient.div_(workers)
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * pace(step, steps, stage)
        optimiser.step()
        if (step + 1) % AVERAGE_EVERY == 0:
            # A short memory at first, so that the start is forgotten.
            keep = min(stage.average, (step + 1) / (step + 1 + 10 * AVERAGE_EVERY))
            for number in mine:
                shared.view(shared.averages, number).lerp_(shared.view(shared.values, number), 1 - keep)
        barrier.wait()
        done = step + 1
        if done % 20 == 0 and rank == 0:
            means = {task: round(total / count, 3) for task, (total, count) in sorted(log.items())}
            print(json.dumps({"stage": stage_name, "step": done, "of": steps, "tokens/s": round(workers * tokens_seen / (time.time() - began)), "loss": means}), flush=True)
            log.clear()
            began, tokens_seen = time.time(), 0
        if done % CHECKPOINT_EVERY == 0 or done == steps:
            save(folder / f"moments.{rank}.{done}.pt", optimiser.state_dict())
            barrier.wait()
            if rank == 0:
                checkpoint(folder, shared, model, done, steps, workers)
            barrier.wait()


def save(path: Path, value) -> None:
    aside = path.with_suffix(".part")
    torch.save(value, aside)
    aside.replace(path)


def checkpoint(folder: Path, shared: Shared, model: Encoder, done: int, steps: int, workers: int) -> None:
    """The values and averages of all parameters; the moments of all workers lie there already. Older ones go."""
    everything = {name: tensor.detach() for name, tensor in model.named_parameters()}
    values = everything | shared.state(shared.values)
    averages = everything | shared.state(shared.averages)
    save(folder / "checkpoint.pt", {"step": done, "steps": steps, "values": values, "averages": averages})
    for old in folder.glob("moments.*.pt"):
        if int(old.suffixes[-2][1:]) != done:
            old.unlink()


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--process", help="a name to find the process by; means nothing")
    arguments.add_argument("--stage", required=True)
    arguments.add_argument("--cache", type=Path, required=True)
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument("--seed", type=int, default=7)
    given = arguments.parse_args()
    stage = recipe.STAGES[given.stage]
    folder = given.cache / f"{given.stage}.{given.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    model = base.model(given.cache)
    corpus = Corpus(given.cache / "tokens", [(task, stem, "train") for task in stage.passes for stem in stage.sources.get(task, [task])])
    batches = schedule(corpus, stage.passes, stage.tokens, given.workers, given.seed)
    if stage.until:
        batches = batches[: stage.until * given.workers]
    first, averages = 0, None
    if (folder / "checkpoint.pt").exists():
        kept = torch.load(folder / "checkpoint.pt", weights_only=True)
        first, averages = kept["step"], kept["averages"]
        model.load_state_dict(kept["values"])
    elif stage.start != "base":
        model.load_state_dict(base.started(given.cache, stage.start, model))
    names = [name for name, _ in model.named_parameters() if rate_of(name, stage) is not None]
    shared = Shared(model, names, given.workers)
    if averages is not None:
        for number, name in enumerate(names):
            shared.view(shared.averages, number).copy_(averages[name])
    frozen = None
    if stage.frozen:
        from frozen import Frozen

        frozen = Frozen(model, corpus, stage.frozen, sorted({int(i) for batch in batches for i in batch}))
    print(f"{given.stage}: {len(batches) // given.workers} steps of {given.workers} batches, from step {first}", flush=True)
    context = torch.multiprocessing.get_context("fork")
    barrier = context.Barrier(given.workers)
    processes = [
        context.Process(
            target=work,
            args=(rank, given.stage, folder, given.cache, model, shared, corpus, batches, first, barrier, given.seed, frozen),
        )
        for rank in range(given.workers)
    ]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        for process in processes:
            process.join(1)
        if any(process.exitcode for process in processes):
            for process in processes:
                process.terminate()
            raise SystemExit("a worker failed; start again to go on from the last checkpoint")


if __name__ == "__main__":
    main()
