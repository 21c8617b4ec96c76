#!/bin/sh
# A captured head through the whole project: subject folder, shards, four translators, four maps.
#
#   sh examples/lee_perry_smith.sh SCAN OUT
#
# SCAN holds the Lee Perry-Smith head as three.js ships it (LeePerrySmith.obj, Map-COL.jpg,
# Map-SPEC.jpg, Infinite-Level_02_Tangent_SmoothUV.jpg): CC-BY 3.0, Lee Perry-Smith /
# Infinite-Realities, www.triplegangers.com. Its flaws are known: the colour is cleaned and stands
# for diffuse albedo, the specular map is painted, all are JPEG. It shows that the path works.
set -eu
scan=$1
out=$2
bin=${BIN:-.venv/bin}

subject() { # the whole folder, or none of it
    rm -rf "$out/subject"
    "$bin/realface" bake "$scan/LeePerrySmith.obj" "$out/subject" --height 4096 --width 6144 \
        --source "Lee Perry-Smith / Infinite-Realities, www.triplegangers.com" --licence "CC-BY 3.0"
    "$bin/realface" add "$out/subject" diffuse_albedo "$scan/Map-COL.jpg" --resample
    "$bin/realface" add "$out/subject" specular_albedo "$scan/Map-SPEC.jpg" --resample
    "$bin/realface" add "$out/subject" specular_normals \
        "$scan/Infinite-Level_02_Tangent_SmoothUV.jpg" --resample \
        --space tangent --green gl --mesh "$scan/LeePerrySmith.obj"
    "$bin/realface" derive diffuse_normals "$out/subject" --blur 1.0
    "$bin/realface" derive occlusion "$out/subject"
    "$bin/realface" derive texture "$out/subject" --seed 1
}

if [ ! -d "$out/shards" ]; then # run again, it goes on from where it stopped
    subject
    "$bin/realface" pack "$out/subject" "$out/shards" --patches-per-subject 240
fi
"$bin/realface" verify "$out/shards"

# The light on the head is fitted: the whole-face stage takes hours of configs/whole_face.yaml.
for translator in diffuse_albedo specular_albedo diffuse_normals specular_normals; do
    "$bin/python" train.py fit --config configs/$translator.yaml --config configs/smoke.yaml \
        --trainer.max_epochs 4 --data.shards "$out/shards" --run_dir "$out/runs/$translator"
done

"$bin/python" infer.py --input "$out/subject" --output "$out/maps" \
    --checkpoint "$out"/runs/*/checkpoints/last.ckpt
