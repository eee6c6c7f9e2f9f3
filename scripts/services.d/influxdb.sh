# InfluxDB 2 with Flux, built from its Go module. Its query language is a Rust library, so the build needs clang and cargo.
# shellcheck shell=bash

INFLUXDB_ORG=limbic
INFLUXDB_BUCKET=limbic
INFLUXDB_TOKEN=limbic-test-token

influxdb_version() { echo "$INFLUXDB_VERSION"; }
influxdb_ports() { echo main; }
influxdb_home() { built influxdb "$INFLUXDB_VERSION" "$RECIPES/influxdb/go.mod" "$RECIPES/influxdb/go.sum"; }

influxdb_install() {
    ensure curl curl
    [[ -d $(influxdb_home) ]] && return
    require_go
    require cargo "install Rust with rustup: InfluxDB's query language is written in it"
    ensure clang clang
    build_once "$(influxdb_home)" influxdb_build
}

influxdb_build() (
    export CGO_ENABLED=1 GOFLAGS=-mod=readonly
    # Use this project's toolchain instead of the one that InfluxDB's sources require, and ignore lints in their code.
    RUSTUP_TOOLCHAIN=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' "$SCRIPTS/../rust-toolchain.toml")
    export RUSTUP_TOOLCHAIN RUSTC_WRAPPER=$RECIPES/influxdb/cap-lints
    # The build expects the Rust part's output next to its sources, so a target folder in the user's settings must not apply.
    export CARGO_TARGET_DIR=target
    unset CARGO_BUILD_TARGET RUSTFLAGS
    cd "$RECIPES/influxdb" &&
        nice -n 10 go build -o "$1/pkg-config" github.com/influxdata/pkg-config &&
        PKG_CONFIG=$1/pkg-config nice -n 10 go build -tags sqlite_foreign_keys,sqlite_json -trimpath -o "$1/influxd" \
            -ldflags "-s -w -X main.version=v$INFLUXDB_VERSION" github.com/influxdata/influxdb/v2/cmd/influxd &&
        rm "$1/pkg-config"
)

influxdb_start() {
    local home=$RUN/influxdb
    launch influxdb "$(influxdb_home)/influxd" --http-bind-address "127.0.0.1:$(port influxdb main)" \
        --bolt-path "$home/influxd.bolt" --sqlite-path "$home/influxd.sqlite" --engine-path "$home/engine" \
        --reporting-disabled --log-level info
}

influxdb_url() { echo "http://127.0.0.1:$(port influxdb main)"; }

# Writes a point and queries it, in a separate bucket, so that the tests' bucket is not touched.
influxdb_healthy() {
    influxdb_set_up || return 1
    influxdb_ask "write?org=$INFLUXDB_ORG&bucket=health&precision=s" --data-binary "probe alive=1i $EPOCHSECONDS" &&
        influxdb_ask "query?org=$INFLUXDB_ORG" -H 'Content-Type: application/vnd.flux' \
            -d 'from(bucket: "health") |> range(start: -1m) |> last()' | grep -q probe
}

influxdb_ask() {
    local path=$1
    shift
    curl -q -sS --fail-with-body -m 5 -H "Authorization: Token $INFLUXDB_TOKEN" "$@" "$(influxdb_url)/api/v2/$path"
}

# A new server allows one set-up call; a server that is set up refuses it.
influxdb_set_up() {
    [[ -f $RUN/influxdb/is-set-up ]] && return
    curl -q -sS --fail-with-body -m 5 "$(influxdb_url)/api/v2/setup" | grep -q '"allowed": *true' &&
        { influxdb_ask setup -d "{\"username\":\"limbic\",\"password\":\"limbic-test\",\"org\":\"$INFLUXDB_ORG\",\
\"bucket\":\"$INFLUXDB_BUCKET\",\"token\":\"$INFLUXDB_TOKEN\",\"retentionPeriodSeconds\":0}" || return 1; }
    influxdb_ask "buckets?name=health" | grep -q '"name": *"health"' || influxdb_health_bucket || return 1
    touch "$RUN/influxdb/is-set-up"
}

influxdb_health_bucket() {
    local org
    org=$(influxdb_ask "orgs?org=$INFLUXDB_ORG" | sed -n 's/.*"id": *"\([0-9a-f]*\)".*/\1/p' | head -n 1)
    influxdb_ask buckets -d "{\"orgID\":\"$org\",\"name\":\"health\",\
\"retentionRules\":[{\"type\":\"expire\",\"everySeconds\":3600}]}"
}

influxdb_env() {
    echo "export LIMBIC_TEST_INFLUX_URL=$(influxdb_url)"
    echo "export LIMBIC_TEST_INFLUX_ORG=$INFLUXDB_ORG"
    echo "export LIMBIC_TEST_INFLUX_BUCKET=$INFLUXDB_BUCKET"
    echo "export LIMBIC_TEST_INFLUX_TOKEN=$INFLUXDB_TOKEN"
}
