#!/usr/bin/env bash
# Score every image below a folder into one table: examples/folder.sh FOLDER TABLE.csv [more options of tier classify]
#
# Files that cannot be read, and images that are not frontal chest radiographs, become rows with the reason. tier then
# exits with code 3, which is not a failure for a mixed folder.
set -euo pipefail

folder=${1:?which folder?}
table=${2:?which table, ending in .csv or .parquet?}
shift 2

code=0
tier classify "$folder" --output "$table" "$@" || code=$?
if [ "$code" -eq 3 ]; then
    echo "some files have no scores; see error_kind and error_message in $table" >&2
elif [ "$code" -ne 0 ]; then
    exit "$code"
fi
