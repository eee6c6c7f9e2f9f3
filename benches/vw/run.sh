#!/bin/sh
# Compares Limbic's bandits with Vowpal Wabbit's in one run: click-through in the tutorial environment, and speed.
# usage: benches/vw/run.sh [SEEDS]
set -eu
cd "$(dirname "$0")/../.."
cache=${LIMBIC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/limbic}
venv=$cache/vw-venv
if ! "$venv/bin/python" -c 'import vowpalwabbit, numpy' 2>/dev/null; then
    mkdir -p "$cache"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet vowpalwabbit==9.11.* numpy
fi
cargo build --quiet --release -p limbic-bandit --example tutorial --example speed
exec "$venv/bin/python" benches/vw/run.py "${CARGO_TARGET_DIR:-target}/release/examples" "${1:-20}"
