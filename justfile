# Daily commands. `just` lists them.

default:
    @just --list

# Run the whole loop on the sample posts and write a report page
demo:
    cargo run --release -- demo

# Run all stages embedded; the page is at http://127.0.0.1:8080
run *ARGS:
    cargo run --release -- run {{ARGS}}

# Run every test with real servers
test *ARGS:
    scripts/test {{ARGS}}

# Test the encoder's kernels for other processors on emulators
processors *ARGS:
    scripts/processors/run {{ARGS}}

# Feed every parser that a stranger reaches with inputs that nobody thought of
fuzz *ARGS:
    scripts/fuzz {{ARGS}}

# Run the checks that decide whether a change is accepted
ci:
    .ci/run

# Format and lint
lint:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings

# Run the benchmarks: log, edge, readers, encoder, bandit
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
