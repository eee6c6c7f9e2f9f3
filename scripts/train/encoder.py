"""The encoder: BERT's post-norm layers in plain PyTorch, with one linear head for each task and each early exit.

Tensor names follow Hugging Face's BERT without the prefix `bert.`, so the state dictionary of this module *is* the shipped
file. Batches hold posts of nearly equal length; padding is masked.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

HIDDEN = 384
HEADS = 12
INTERMEDIATE = 1536
EPS = 1e-12
# Number of words in the base's vocabulary. The rows after them are emoji.
BASE_VOCABULARY = 30522


class Masks:
    """Factors of dropout, drawn once and reused from random places. Drawing new ones takes an eighth of a step on a processor."""

    SIZE = 1 << 24

    def __init__(self) -> None:
        self.pools: dict[tuple, torch.Tensor] = {}

    def factors(self, like: torch.Tensor, chance: float) -> torch.Tensor:
        key = (chance, like.dtype)
        if key not in self.pools:
            kept = torch.rand(self.SIZE) >= chance
            self.pools[key] = kept.to(like.dtype) / (1 - chance)
        place = int(torch.randint(self.SIZE - like.numel(), ()))
        return self.pools[key][place : place + like.numel()].view(like.shape)


MASKS = Masks()


def dropped(hidden: torch.Tensor, chance: float, is_training: bool) -> torch.Tensor:
    """Dropout."""
    if not is_training or chance == 0.0:
        return hidden
    if hidden.device.type != "cpu" or hidden.numel() >= Masks.SIZE // 2:
        return F.dropout(hidden, chance, True)
    return hidden * MASKS.factors(hidden, chance)


def attended(query, key, value, mask):
    """Attention. PyTorch's own is slow backwards on a processor: on AMX it takes half of a step, and these products take a twentieth."""
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    return scores.float().masked_fill(~mask, float("-inf")).softmax(-1).to(value.dtype) @ value


class Norm(nn.LayerNorm):
    def __init__(self) -> None:
        super().__init__(HIDDEN, eps=EPS)


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(HIDDEN, HIDDEN)
        self.key = nn.Linear(HIDDEN, HIDDEN)
        self.value = nn.Linear(HIDDEN, HIDDEN)


class Projection(nn.Module):
    """A dense layer whose result is added to the residual and normalised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, HIDDEN)
        self.LayerNorm = Norm()

    def forward(self, hidden, residual, dropout: float):
        hidden = dropped(self.dense(hidden), dropout, self.training)
        return self.LayerNorm(hidden + residual)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.self = SelfAttention()
        self.output = Projection(HIDDEN)


class Intermediate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(HIDDEN, INTERMEDIATE)


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention()
        self.intermediate = Intermediate()
        self.output = Projection(INTERMEDIATE)

    def forward(self, hidden, mask, dropout: float):
        posts, length, _ = hidden.shape
        projections = self.attention.self
        # One product for the three projections, because the matrices are small. The input is read once.
        weight = torch.cat([projections.query.weight, projections.key.weight, projections.value.weight])
        bias = torch.cat([projections.query.bias, projections.key.bias, projections.value.bias])
        mixed = F.linear(hidden, weight, bias).view(posts, length, 3, HEADS, HIDDEN // HEADS)
        query, key, value = mixed.permute(2, 0, 3, 1, 4).unbind(0)
        context = attended(query, key, value, mask)
        context = context.transpose(1, 2).reshape(posts, length, HIDDEN)
        hidden = self.attention.output(context, hidden, dropout)
        return self.output(F.gelu(self.intermediate.dense(hidden)), hidden, dropout)


class Embeddings(nn.Module):
    def __init__(self, vocabulary: int, positions: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocabulary, HIDDEN)
        self.position_embeddings = nn.Embedding(positions, HIDDEN)
        self.token_type_embeddings = nn.Embedding(2, HIDDEN)
        self.LayerNorm = Norm()


class Stack(nn.Module):
    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer() for _ in range(layers))


class Encoder(nn.Module):
    """`tasks` maps a task to its number of labels. `exits` maps a layer (counted from one) to the tasks with a head there.

    `depth` is the number of layers, 6 or 12.
    """

    def __init__(self, vocabulary: int, tasks: dict[str, int], exits: dict[int, list[str]], depth: int, positions: int = 512) -> None:
        super().__init__()
        self.depth = depth
        self.embeddings = Embeddings(vocabulary, positions)
        self.encoder = Stack(depth)
        self.heads = nn.ModuleDict({task: nn.Linear(2 * HIDDEN, labels) for task, labels in tasks.items()})
        self.exits = nn.ModuleDict(
            {str(layer): nn.ModuleDict({task: nn.Linear(2 * HIDDEN, tasks[task]) for task in names}) for layer, names in exits.items()}
        )
        self.apply(initialise)

    def embed(self, ids, dropout: float = 0.0):
        rows = self.embeddings
        hidden = rows.word_embeddings(ids) + rows.position_embeddings.weight[: ids.shape[1]] + rows.token_type_embeddings.weight[0]
        return dropped(rows.LayerNorm(hidden), dropout, self.training)

    def layers(self, hidden, present, begin: int = 0, dropout: float = 0.0):
        """Returns the hidden states after each layer from `begin` on, by the layer's number counted from one.

        `present` marks the tokens that are not padding.
        """
        mask = present[:, None, None, :]
        states = {}
        for number in range(begin, self.depth):
            hidden = self.encoder.layer[number](hidden, mask, dropout)
            states[number + 1] = hidden
        return states


def pooled(hidden, present):
    """Returns the mean over all tokens, including [CLS] and [SEP], concatenated with the state of [CLS]."""
    weight = present.unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * weight).sum(1) / weight.sum(1)
    return torch.cat([mean, hidden[:, 0]], -1)


def initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
