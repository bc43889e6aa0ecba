#!/usr/bin/env bash
#SBATCH --job-name=tier-ray
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --time=04:00:00
# Score on several machines as one run: sbatch examples/slurm-ray.sh PATH SCORES.parquet [more options]
#
# Starts a Ray cluster on the machines of the job, runs tier on the first one, and ends the cluster. A second `sbatch`
# goes on where the first one ended. For GPUs, add --gpus-per-node to the lines above.
# Needs the extra [ray], and [parquet] for SCORES.parquet.
set -euo pipefail

path=${1:?which folder or list?}
output=${2:?which file for the scores?}
shift 2

hosts=$(scontrol show hostnames "${SLURM_JOB_NODELIST:?start it with sbatch}")
first=${hosts%%$'\n'*}
export RAY_ADDRESS=$first:6379 RAY_USAGE_STATS_ENABLED=0
# Only this job may use the cluster.
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
code=0
srun ray symmetric-run --address "$RAY_ADDRESS" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "${SLURM_CPUS_PER_TASK:-1}" -- \
    tier classify "$path" --output "$output" --resume --runner ray "$@" || code=$?
if [ "$code" -ne 0 ] && [ "$code" -ne 3 ]; then
    exit "$code"
fi
