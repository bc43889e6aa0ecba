#!/usr/bin/env bash
# Score the files that `find` returns, without copying them: examples/list.sh FOLDER [more options of tier classify]
#
# With `-`, tier reads one path per line from stdin: here, the DICOM files changed in the last day. From the JSON lines
# the script prints path and score of a single finding, because scores of different findings have different scales.
set -euo pipefail

folder=${1:?which folder?}
shift

find "$folder" -name '*.dcm' -mtime -1 | sort |
    tier classify - --findings pneumothorax "$@" |
    python -c '
import json, sys
for line in sys.stdin:
    result = json.loads(line)
    if result["error"]:
        print(result["path"], result["error"]["kind"], sep="\t")
    for score in result["findings"]:
        print(result["path"], score["finding"], score["score"], sep="\t")
'
