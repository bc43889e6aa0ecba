#!/usr/bin/env bash
#SBATCH --job-name=tier
#SBATCH --array=1-16
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=04:00:00
# Score on a cluster, one part per task of an array: sbatch examples/slurm-shards.sh PATH FOLDER [more options]
#
# PATH is a folder, or a list with one path per line. Task I scores part I of 16 and keeps it in FOLDER/part-I.journal.
# A second `sbatch`, also of only some tasks (--array=3,7), goes on where the first one ended. Then join the parts:
#     tier merge FOLDER/part-*.journal --output scores.parquet
set -euo pipefail

# The number of tasks in --array above. A separate number, so that single tasks can be rerun.
parts=16

path=${1:?which folder or list?}
folder=${2:?which folder for the parts?}
shift 2
part=${SLURM_ARRAY_TASK_ID:?start it with sbatch}

mkdir -p "$folder"
code=0
tier classify "$path" --shard "$part/$parts" --journal "$folder/part-$(printf '%05d' "$part").journal" --resume \
    --workers "${SLURM_CPUS_PER_TASK:-1}" "$@" || code=$?
# 3: the part is complete, but some of its rows have an error.
if [ "$code" -ne 0 ] && [ "$code" -ne 3 ]; then
    exit "$code"
fi
