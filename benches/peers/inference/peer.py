"""One of the other engines. `make` writes the model that it loads. `read` reads for the number of seconds in each line of the input.

They are given ids, not texts: tokenising is not in their time. Posts of equal length are batched together, so that nothing is
padded and nothing masked: better than a stream allows. Each has one head (sentiment) where Limbic answers all tasks.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy
from safetensors.numpy import load_file

LAYERS, HEADS, HIDDEN = 6, 12, 384
WIDTH = HIDDEN // HEADS
BATCH = 32
# Of so many batches one is compared with PyTorch.
COMPARED = 20


def batches(ids: Path) -> list[numpy.ndarray]:
    by_length = defaultdict(list)
    for row in json.loads(ids.read_text()):
        by_length[len(row)].append(row)
    return [numpy.array(rows[i : i + BATCH]) for _, rows in sorted(by_length.items()) for i in range(0, len(rows), BATCH)]


def weights(model: Path) -> dict[str, numpy.ndarray]:
    return {name: array.astype(numpy.float32) for name, array in load_file(model / "model.safetensors").items()}


def graph(model: Path, path: Path) -> None:
    """The model as ONNX, as plain as exporters write it."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    state, nodes, constants = weights(model), [], {}

    def constant(name: str, array) -> str:
        constants.setdefault(name, numpy_helper.from_array(numpy.array(array, order="C"), name))
        return name

    def node(kind: str, *inputs: str, **attributes) -> str:
        out = f"{kind}_{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def dense(x: str, name: str) -> str:
        product = node("MatMul", x, constant(f"{name}.t", state[f"{name}.weight"].T))
        return node("Add", product, constant(f"{name}.b", state[f"{name}.bias"]))

    def norm(x: str, name: str) -> str:
        scale, shift = (constant(f"{name}.{part}", state[f"{name}.{part}"]) for part in ("weight", "bias"))
        return node("LayerNormalization", x, scale, shift, axis=-1, epsilon=1e-12)

    def number(value: float) -> str:
        return constant(f"number {value}", numpy.array(value, numpy.float32))

    def shape(*sizes: int) -> str:
        return constant(f"shape {sizes}", numpy.array(sizes, numpy.int64))

    positions = state["embeddings.position_embeddings.weight"] + state["embeddings.token_type_embeddings.weight"][0]
    length = node("Slice", node("Shape", "ids"), shape(1), shape(2))
    x = node("Gather", constant("words", state["embeddings.word_embeddings.weight"]), "ids")
    x = norm(node("Add", x, node("Slice", constant("positions", positions), shape(0), length, shape(0))), "embeddings.LayerNorm")
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        query, key, value = (
            node("Transpose", node("Reshape", dense(x, f"{name}.attention.self.{part}"), shape(0, 0, HEADS, WIDTH)), perm=perm)
            for part, perm in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3]))
        )
        scores = node("Div", node("MatMul", query, key), number(WIDTH**0.5))
        context = node("MatMul", node("Softmax", scores, axis=-1), value)
        context = node("Reshape", node("Transpose", context, perm=[0, 2, 1, 3]), shape(0, 0, HIDDEN))
        x = norm(node("Add", dense(context, f"{name}.attention.output.dense"), x), f"{name}.attention.output.LayerNorm")
        inner = dense(x, f"{name}.intermediate.dense")
        bell = node("Add", node("Erf", node("Div", inner, number(2**0.5))), number(1.0))
        inner = node("Mul", node("Mul", inner, bell), number(0.5))
        x = norm(node("Add", dense(inner, f"{name}.output.dense"), x), f"{name}.output.LayerNorm")
    mean = node("ReduceMean", x, shape(1), keepdims=0)
    first = node("Gather", x, constant("first", numpy.array(0, numpy.int64)), axis=1)
    pooled = node("Concat", mean, first, axis=-1)
    product = node("MatMul", pooled, constant("head.t", state["heads.sentiment.weight"].T))
    nodes.append(helper.make_node("Add", [product, constant("head.b", state["heads.sentiment.bias"])], ["logits"]))
    made = helper.make_graph(
        nodes,
        "affect",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["posts", "tokens"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["posts", 3])],
        list(constants.values()),
    )
    made = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(made)
    onnx.save(made, path)


def file(peer: str, cache: Path) -> Path:
    return cache / (f"{peer}.xml" if peer == "openvino-int8" else "fp32.onnx" if peer.endswith("fp32") else f"{peer}.onnx")


def make(peer: str, model: Path, ids: Path, cache: Path) -> None:
    if peer == "onnxruntime-fp32":
        graph(model, file(peer, cache))
    elif peer.startswith("onnxruntime-int8"):
        from onnxruntime.quantization import QuantType, quantize_dynamic

        kind = QuantType.QUInt8 if peer.endswith("u8") else QuantType.QInt8
        quantize_dynamic(cache / "fp32.onnx", file(peer, cache), weight_type=kind, per_channel=True, op_types_to_quantize=["MatMul"])
    elif peer == "openvino-int8":
        import nncf
        import openvino

        calibration = nncf.Dataset([{"ids": batch} for batch in batches(ids)[::2]])
        read = openvino.Core().read_model(cache / "fp32.onnx")
        openvino.save_model(nncf.quantize(read, calibration, model_type=nncf.ModelType.TRANSFORMER, subset_size=60), file(peer, cache))
    elif peer == "rten-fp32":
        plain = torch(model)
        labels = [int(label) for batch in batches(ids)[::COMPARED] for label in plain(batch).argmax(1)]
        (cache / "labels.json").write_text(json.dumps(labels))


def onnxruntime(peer: str, cache: Path):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(file(peer, cache)), options, providers=["CPUExecutionProvider"])
    return lambda ids: session.run(["logits"], {"ids": ids})[0]


def openvino(peer: str, cache: Path):
    import openvino as ov

    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "THROUGHPUT", "ENABLE_CPU_PINNING": False}
    request = ov.Core().compile_model(file(peer, cache), "CPU", settings).create_infer_request()
    return lambda ids: request.infer({"ids": ids})[0]


def torch(model: Path):
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    state = {name: torch.from_numpy(array) for name, array in weights(model).items()}

    def dense(x, name: str):
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(x, name: str):
        return F.layer_norm(x, (HIDDEN,), state[f"{name}.weight"], state[f"{name}.bias"], 1e-12)

    projections = []
    for layer in range(LAYERS):
        parts = [f"encoder.layer.{layer}.attention.self.{part}" for part in ("query", "key", "value")]
        projections.append([torch.cat([state[f"{part}.{of}"] for part in parts]) for of in ("weight", "bias")])

    @torch.inference_mode()
    def run(ids):
        ids = torch.from_numpy(ids)
        posts, length = ids.shape
        x = state["embeddings.word_embeddings.weight"][ids] + state["embeddings.position_embeddings.weight"][:length]
        x = norm(x + state["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for layer in range(LAYERS):
            name = f"encoder.layer.{layer}"
            parts = F.linear(x, *projections[layer]).view(posts, length, 3, HEADS, WIDTH).permute(2, 0, 3, 1, 4)
            context = F.scaled_dot_product_attention(*parts.unbind(0)).transpose(1, 2).reshape(posts, length, HIDDEN)
            x = norm(dense(context, f"{name}.attention.output.dense") + x, f"{name}.attention.output.LayerNorm")
            x = norm(dense(F.gelu(dense(x, f"{name}.intermediate.dense")), f"{name}.output.dense") + x, f"{name}.output.LayerNorm")
        return dense(torch.cat([x.mean(1), x[:, 0]], -1), "heads.sentiment").numpy()

    return run


def engine(peer: str, model: Path, cache: Path):
    if peer.startswith("torch"):
        return torch(model)
    return (openvino if peer.startswith("openvino") else onnxruntime)(peer, cache)


def read(peer: str, model: Path, ids: Path, cache: Path) -> None:
    run, work = engine(peer, model, cache), batches(ids)
    # Compares its result once with that of the plainest engine: the comparison is only valid if both run the same model.
    if peer != "torch-fp32":
        plain = torch(model)
        own, wanted = (numpy.concatenate([f(batch) for batch in work[::COMPARED]]) for f in (run, plain))
        labels = (own.argmax(1) == wanted.argmax(1)).mean()
        print(f"{peer}: mean |logit difference| {numpy.abs(own - wanted).mean():.5f}, {100 * labels:.1f} % of labels as in PyTorch", file=sys.stderr)
    # The long and the short ones in no order, so that a round of any length meets the same mixture.
    order = numpy.random.default_rng(7).permutation(len(work))
    place = 0
    for line in sys.stdin:
        began, processor, count = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - began < float(line):
            batch = work[order[place % len(work)]]
            count += len(run(batch))
            place += 1
        print(count / (time.perf_counter() - began), count / (time.process_time() - processor), flush=True)


if __name__ == "__main__":
    {"make": make, "read": read}[sys.argv[1]](sys.argv[2], *map(Path, sys.argv[3:]))
