#!/usr/bin/env bash
# Limbic's encoder compared with ONNX Runtime, OpenVINO, PyTorch and rten: the same weights, the same posts, one run.
# usage: benches/peers/inference/run.sh [ROUNDS [SECONDS]]
#
# Installs the others, in pinned versions, below ~/.cache/limbic (LIMBIC_CACHE); PEERS_PYTHON names a Python that has them
# already. The model is models/affect-l6 (LIMBIC_MODEL), the posts are TweetEval's (LIMBIC_DATA).
set -euo pipefail
cd "$(dirname "$0")/../../.."
cache=${LIMBIC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/limbic}/peers-inference
data=${LIMBIC_DATA:-$(cd .. && pwd)/shared/data} model=${LIMBIC_MODEL:-models/affect-l6}
python=${PEERS_PYTHON:-$cache/venv/bin/python}
mkdir -p "$cache"
if [[ -z ${PEERS_PYTHON:-} && ! -e $cache/venv/ready ]]; then
  python3 -m venv "$cache/venv"
  "$python" -m pip install --quiet -r benches/peers/inference/requirements.txt
  touch "$cache/venv/ready"
fi
cargo build --quiet --release --locked -p limbic-affect --example throughput --example tokenise
target=$(cargo metadata --format-version 1 --no-deps --locked | "$python" -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
cargo build --quiet --release --locked --manifest-path benches/peers/inference/rten/Cargo.toml --target-dir "$target"
exec "$python" benches/peers/inference/run.py "$target/release/examples" "$model" "$data" "$cache" "${1:-5}" "${2:-3}"
