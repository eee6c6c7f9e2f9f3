# FerretDB: MongoDB's wire protocol over SQLite. It ignores transactions, has no TTL indexes, and hangs on one update
# command with hundreds of updates. Tests therefore use unordered inserts and small batches.
# shellcheck shell=bash

ferretdb_version() { echo "$FERRETDB_VERSION"; }
ferretdb_ports() { echo main; }
ferretdb_home() {
    built ferretdb "$FERRETDB_VERSION" "$RECIPES/ferretdb/go.mod" "$RECIPES/ferretdb/go.sum" "$RECIPES/ferretdb/main.go"
}

ferretdb_install() {
    [[ -d $(ferretdb_home) ]] && return
    require_go
    build_once "$(ferretdb_home)" ferretdb_build
}

ferretdb_build() (
    export CGO_ENABLED=0 GOFLAGS=-mod=readonly
    cd "$RECIPES/ferretdb" && nice -n 10 go build -trimpath -o "$1/ferretdb" .
)

ferretdb_start() {
    mkdir -p "$RUN/ferretdb/data"
    launch ferretdb "$(ferretdb_home)/ferretdb" "127.0.0.1:$(port ferretdb main)" "$RUN/ferretdb/data"
}

ferretdb_healthy() { "$PYTHON" -I "$RECIPES/ferretdb/probe.py" "127.0.0.1:$(port ferretdb main)"; }

ferretdb_env() { echo "export LIMBIC_TEST_MONGODB=mongodb://127.0.0.1:$(port ferretdb main)"; }
