# Daily work. `just` lists it.

default:
    @just --list

# Run the whole loop on the sample posts and leave a page
demo:
    cargo run --release -- demo

# Everything embedded, with the page at http://127.0.0.1:8080
run *ARGS:
    cargo run --release -- run {{ARGS}}

# Every test, over real servers
test *ARGS:
    scripts/test {{ARGS}}

# The encoder's kernels for other processors, emulated
processors *ARGS:
    scripts/processors/run {{ARGS}}

# What decides whether a change lands
ci:
    .ci/run

# Format and lint
lint:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings

# Benchmarks: the log, the edge, the reader, the bandit
bench:
    cargo bench -p limbic-stream-embedded --bench passthrough
    cargo bench -p limbic-ingest --bench edge
    cargo bench -p limbic-affect --bench vader
    cargo bench -p limbic-encoder --bench encoder
    cargo bench -p limbic-affect --bench model
    cargo bench -p limbic-optimize

# Start or stop the real servers that tests use
services COMMAND="status":
    scripts/services {{COMMAND}}
