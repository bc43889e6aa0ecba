#!/usr/bin/env bash
#SBATCH --job-name=tier-train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
# Train on several machines with several GPUs each: sbatch examples/slurm-train.sh --data manifest.csv --output model ...
#
# All options go to tier train. All machines must see the data and the output folder. --batch-size is that of all
# processes together.
set -euo pipefail

hosts=$(scontrol show hostnames "${SLURM_JOB_NODELIST:?start it with sbatch}")
first=${hosts%%$'\n'*}
# srun starts this once per machine, and each starts one process per GPU.
# shellcheck disable=SC2016
srun bash -c 'exec torchrun --no-python --nnodes "$SLURM_JOB_NUM_NODES" --node-rank "$SLURM_NODEID" \
    --nproc-per-node "${SLURM_GPUS_ON_NODE:-1}" --master-addr "$0" --master-port 29500 tier train "$@"' "$first" "$@"
