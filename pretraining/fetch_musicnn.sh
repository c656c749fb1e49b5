#!/bin/sh
# Make pretraining/musicnn-mtt.safetensors again, from the published weights (ISC,
# https://github.com/jordipons/musicnn). Needs python3 with venv and .venv of this repository; TensorFlow is used
# once, in an environment of its own, to read a checkpoint.
set -eu
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/tensorflow"
"$scratch/tensorflow/bin/pip" install --quiet numpy tensorflow-cpu
"$scratch/tensorflow/bin/pip" download --quiet --no-deps --dest "$scratch" musicnn==0.1.0
"$scratch/tensorflow/bin/python" - "$scratch" <<'PYTHON'
import pathlib, sys, zipfile
import numpy as np
import tensorflow as tf

scratch = pathlib.Path(sys.argv[1])
zipfile.ZipFile(next(scratch.glob("musicnn-*.whl"))).extractall(scratch)
reader = tf.compat.v1.train.NewCheckpointReader(f"{scratch}/musicnn/MTT_musicnn/")
names = [name for name in reader.get_variable_to_shape_map() if "Adam" not in name and "_power" not in name]
np.savez("musicnn.npz", **{name.replace("/", "|"): reader.get_tensor(name) for name in names})
PYTHON
cd .. && .venv/bin/python -m pretraining.convert_musicnn pretraining/musicnn.npz
