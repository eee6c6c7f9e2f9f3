#!/bin/sh
# Replays the Upworthy headline tests as bandits. usage: benches/upworthy/run.sh
# The data: $LIMBIC_DATA, or ../shared/data next to the repository. They are converted once, into the cache.
set -eu
cd "$(dirname "$0")/../.."
cache=${LIMBIC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/limbic}
venv=$cache/vw-venv
rows=$cache/upworthy.csv
if [ ! -s "$rows" ]; then
    mkdir -p "$cache"
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/python" -c 'import pyarrow' 2>/dev/null || "$venv/bin/pip" install --quiet pyarrow
    "$venv/bin/python" - "${LIMBIC_DATA:-../shared/data}/upworthy_ab/upworthy_clean.parquet" "$rows" <<'PYTHON'
import csv, sys
import pyarrow.parquet
columns = ["clickability_test_id", "impressions", "clicks"]
table = pyarrow.parquet.read_table(sys.argv[1], columns=columns).to_pylist()
table.sort(key=lambda row: row["clickability_test_id"])
with open(sys.argv[2], "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["test", "impressions", "clicks"])
    writer.writerows([row[name] for name in columns] for row in table)
PYTHON
fi
cargo build --quiet --release -p limbic-bandit --example headlines
"${CARGO_TARGET_DIR:-target}/release/examples/headlines" "$rows" < benches/upworthy/configurations.jsonl
