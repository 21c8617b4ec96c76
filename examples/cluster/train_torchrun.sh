#!/bin/sh
# The same without a scheduler: on every node, with the address of the first one,
#
#   NODES=2 NODE=0 FIRST=10.0.0.1 sh examples/cluster/train_torchrun.sh diffuse_albedo SHARDS
#
# On one node alone, `python train.py fit ...` does it by itself: devices are on auto.
set -eu
translator=$1 shards=$2 gpus=${GPUS:-8} nodes=${NODES:-1}
torchrun --nnodes "$nodes" --node_rank "${NODE:-0}" --nproc_per_node "$gpus" \
    --master_addr "${FIRST:-localhost}" --master_port "${PORT:-29500}" \
    train.py fit --config "configs/$translator.yaml" --data.shards "$shards" \
    --run_dir "runs/$translator" --trainer.num_nodes "$nodes" --trainer.devices "$gpus" \
    --trainer.precision bf16-mixed
