"""Write musicnn.json: features and tags of the published musicnn, run by TensorFlow from its own graph.

TensorFlow and the wheel musicnn==0.1.0 are needed for this script alone. Unpack the wheel and run
`python tests/golden/make_musicnn.py FOLDER`, FOLDER being its `musicnn/MTT_musicnn`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

SEED, N_WINDOWS = 0, 2
FEATURES = "model/batch_normalization_10/batchnorm/add_1:0"
TAGS = "model/Sigmoid:0"


def log_mel() -> np.ndarray:
    """Return windows with the range of real ones; `tests/unit/pretraining/test_musicnn.py` makes the same."""
    rng = np.random.default_rng(SEED)
    slow, fast = rng.random((N_WINDOWS, 187, 1)), rng.random((N_WINDOWS, 187, 96))
    return (3.0 * slow + 1.5 * fast - np.linspace(0.0, 2.0, 96)).clip(0.0).astype(np.float32)


def main() -> None:
    """Run the graph and write what it says."""
    folder, graph = sys.argv[1], tf.compat.v1.MetaGraphDef()
    graph.ParseFromString(Path(folder, ".meta").read_bytes())
    for node in graph.graph_def.node:
        node.attr.pop("_output_shapes", None)  # those of the training graph contradict today's TensorFlow
    needed = [FEATURES.split(":")[0], TAGS.split(":")[0]]
    needed = tf.compat.v1.graph_util.extract_sub_graph(graph.graph_def, needed)
    reader = tf.compat.v1.train.NewCheckpointReader(f"{folder}/")
    with tf.Graph().as_default() as imported, tf.compat.v1.Session() as session:
        tf.import_graph_def(needed, name="")
        names = {operation.name for operation in imported.get_operations()}
        feeds = {
            f"{name}:0": reader.get_tensor(name)
            for name in reader.get_variable_to_shape_map()
            if name in names
        }
        inputs = [op for op in imported.get_operations() if op.type == "Placeholder"]
        for operation in inputs:
            is_flag = operation.outputs[0].dtype == tf.bool
            feeds[operation.outputs[0].name] = False if is_flag else log_mel()
        features, tags = session.run([FEATURES, TAGS], feeds)
    golden = {"tensorflow": tf.__version__, "features": features.tolist(), "tags": tags.tolist()}
    Path(__file__).with_name("musicnn.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
