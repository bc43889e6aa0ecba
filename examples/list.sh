#!/usr/bin/env bash
# Score what a search finds, without a folder of copies: examples/list.sh FOLDER [more options of tier classify]
#
# `-` takes one path a line from stdin. Here: the DICOM files changed in the last day, as JSON lines, and from
# these the path and the score for one finding: scores of different findings have different scales.
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
