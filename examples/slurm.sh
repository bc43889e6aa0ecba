#!/usr/bin/env bash
#SBATCH --job-name=tier
#SBATCH --array=0-15
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=04:00:00
# Score a long list on a cluster, one part per array task: sbatch examples/slurm.sh LIST.txt FOLDER [more options]
#
# LIST.txt holds one path per line. Task I takes lines I, I + 16, I + 32, ... and writes FOLDER/part-I.parquet. Existing
# parts are kept, so a second `sbatch`, also of only some tasks, completes what the first one missed. Read all parts
# together with pandas.read_parquet("FOLDER"). Needs the extra [parquet].
set -euo pipefail

# The number of tasks in --array above. A separate number, so that single tasks can be rerun.
parts=16

list=${1:?which list?}
folder=${2:?which folder for the parts?}
shift 2
part=${SLURM_ARRAY_TASK_ID:?start it with sbatch}

mkdir -p "$folder"
output=$folder/part-$(printf '%05d' "$part").parquet
if [ -e "$output" ]; then
    exit 0
fi
mine=$(mktemp)
trap 'rm -f "$mine"' EXIT
awk -v part="$part" -v parts="$parts" 'NF && (NR - 1) % parts == part' "$list" > "$mine"
if [ ! -s "$mine" ]; then
    exit 0
fi
code=0
tier classify - --workers "${SLURM_CPUS_PER_TASK:-1}" --output "$output" "$@" < "$mine" || code=$?
# 3: the part is complete, but some of its rows have an error.
if [ "$code" -ne 0 ] && [ "$code" -ne 3 ]; then
    exit "$code"
fi
