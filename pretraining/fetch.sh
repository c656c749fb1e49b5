#!/bin/sh
# Fetch what the renderer needs beyond Debian's packages: recorded instruments (npm) and the teacher (PyPI).
# Needs npm, tar, python3 with venv; TensorFlow is used once, in an environment of its own, to read a checkpoint.
set -eu
cd "$(dirname "$0")"
mkdir -p recorded
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Recorded notes, CC BY 3.0 (https://github.com/nbrosowsky/tonejs-instruments).
for name in bass-electric bassoon cello clarinet contrabass flute french-horn guitar-acoustic guitar-electric \
    guitar-nylon harmonium harp organ piano saxophone trombone trumpet tuba violin; do
    [ -d "recorded/$name" ] && continue
    archive=$(cd "$scratch" && npm pack --silent "tonejs-instrument-$name-mp3")
    mkdir "$scratch/$name" && tar xzf "$scratch/$archive" -C "$scratch/$name" --strip-components 1
    mv "$scratch/$name" "recorded/$name"
done
# Salamander Grand Piano by Alexander Holm, CC BY 3.0, at three of its sixteen velocities.
for level in 3 8 13; do
    [ -d "recorded/salamander/v$level" ] && continue
    archive=$(cd "$scratch" && npm pack --silent "@audio-samples/piano-mp3-velocity$level")
    mkdir -p "recorded/salamander" "$scratch/v$level" && tar xzf "$scratch/$archive" -C "$scratch/v$level" --strip-components 2 package/audio
    mv "$scratch/v$level" "recorded/salamander/v$level"
done

# musicnn's weights, ISC (https://github.com/jordipons/musicnn).
[ -f teacher.npz ] && exit 0
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
np.savez("teacher.npz", **{name.replace("/", "|"): reader.get_tensor(name) for name in names})
PYTHON
