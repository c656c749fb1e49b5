#!/bin/sh
# Fetch what the renderer needs beyond Debian's packages: recorded instruments. Needs npm and tar.
set -eu
if [ ! -d /usr/share/hydrogen/data/drumkits ]; then
    echo "no recorded drum kit: apt-get install --no-install-recommends hydrogen-drumkits" >&2
    exit 1
fi
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
