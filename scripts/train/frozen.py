"""States of the layers that a stage leaves as they are, computed once: the later passes start from there, at half the cost."""

from __future__ import annotations

from pathlib import Path

import numpy
import torch

from batches import Corpus, padded
from encoder import HIDDEN, Encoder


class Frozen:
    """16-bit states of every token of the posts in `wanted`, after the first `layers` layers."""

    def __init__(self, model: Encoder, corpus: Corpus, layers: int, wanted: list[int]) -> None:
        self.lengths = corpus.lengths
        self.begins = {}
        total = 0
        for number in wanted:
            self.begins[number] = total
            total += int(corpus.lengths[number])
        self.states = torch.empty(total, HIDDEN, dtype=torch.float16)
        order = sorted(wanted, key=lambda number: corpus.lengths[number])
        model.eval()
        with torch.no_grad():
            for first in range(0, len(order), 32):
                chunk = order[first : first + 32]
                ids, present = padded([corpus.ids[number] for number in chunk])
                hidden = model.layers(model.embed(ids), present, stop=layers)[layers]
                for row, number in enumerate(chunk):
                    length = int(self.lengths[number])
                    self.states[self.begins[number] : self.begins[number] + length] = hidden[row, :length]
                if first // 32 % 500 == 0:
                    print(f"states of the lower layers: {first} of {len(order)} posts", flush=True)
        self.states.share_memory_()

    def take(self, batch):
        lengths = [int(self.lengths[number]) for number in batch]
        longest = max(lengths)
        hidden = torch.zeros(len(batch), longest, HIDDEN)
        for row, (number, length) in enumerate(zip(batch, lengths)):
            hidden[row, :length] = self.states[self.begins[int(number)] : self.begins[int(number)] + length]
        if min(lengths) == longest:
            return hidden, None
        return hidden, torch.arange(longest)[None, :] < torch.tensor(lengths)[:, None]
