"""Computes raw logits of every head, including early exits, for the posts of a split: in 32 bits, on the model's device."""

from __future__ import annotations

from pathlib import Path

import numpy
import torch

from batches import padded
from encoder import Encoder, pooled


def ragged(path: Path):
    with numpy.load(path) as file:
        offsets, ids, targets = file["offsets"], file["ids"], file["targets"]
    return [ids[offsets[i] : offsets[i + 1]] for i in range(len(targets))], targets


def logits(model: Encoder, rows: list[numpy.ndarray], tasks: list[str], posts_a_batch: int = 48) -> dict[tuple[int, str], numpy.ndarray]:
    """Returns, by (layer, task), a matrix of posts × labels."""
    model.eval()
    device = next(model.parameters()).device
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found: dict[tuple[int, str], list] = {}
    with torch.no_grad():
        for first in range(0, len(order), posts_a_batch):
            ids, present = padded([rows[i] for i in order[first : first + posts_a_batch]])
            ids, present = ids.to(device), present.to(device)
            for layer, hidden in model.layers(model.embed(ids), present).items():
                heads = model.heads if layer == model.depth else model.exits[str(layer)] if str(layer) in model.exits else {}
                if not len(heads):
                    continue
                read = pooled(hidden, present)
                for task in tasks:
                    if task in heads:
                        found.setdefault((layer, task), []).append(heads[task](read).cpu().numpy())
    back = numpy.argsort(order)
    return {key: numpy.concatenate(parts)[back] for key, parts in found.items()}
