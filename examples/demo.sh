#!/bin/sh
# The whole job on procedural subjects: nothing to download, no GPU, no licence.
#
#   sh examples/demo.sh OUT HEIGHT WIDTH WINDOW PATCHES SUBJECTS
#
# Subjects are made and packed, the four translators trained for a moment each, and the maps of a
# face that none of them has seen stitched from their checkpoints. The light on it is fitted: the
# whole-face stage (configs/whole_face.yaml) learns more, but not in a moment. Run again, it goes on
# from where it stopped.
set -eu
out=$1 height=$2 width=$3 window=$4 patches=$5 subjects=$6
bin=${BIN:-.venv/bin}
face=$out/face/synthetic-000008

if [ ! -d "$out/shards" ]; then
    "$bin/realface" synth "$out/subjects" --subjects "$subjects" --seed 100 \
        --height "$height" --width "$width"
    "$bin/realface" pack "$out/subjects" "$out/shards" --patches-per-subject "$patches"
fi
"$bin/realface" verify "$out/shards"
if [ ! -f "$face/texture.tif" ]; then
    "$bin/realface" synth "$out/face" --subjects 1 --seed 8 --height "$height" --width "$width"
    "$bin/realface" derive texture "$face" --seed 5
fi
train() { # TRANSLATOR EPOCHS: de-lighting is the hard one
    "$bin/python" train.py fit --config "configs/$1.yaml" --config configs/smoke.yaml \
        --trainer.max_epochs "$2" --data.shards "$out/shards" --run_dir "$out/runs/$1"
}
train diffuse_albedo 4
train specular_albedo 2
train diffuse_normals 1
train specular_normals 1
"$bin/python" infer.py --input "$face" --output "$out/maps" --window "$window" \
    --checkpoint "$out"/runs/*/checkpoints/last.ckpt
if [ "$width" -le 2048 ]; then # the peer, the map in one piece, must fit into memory
    "$bin/python" benchmarks/seams.py --input "$face" --window "$window" \
        --checkpoint "$out"/runs/*/checkpoints/last.ckpt
fi
echo "look at $out/maps/contact_sheet.png"
