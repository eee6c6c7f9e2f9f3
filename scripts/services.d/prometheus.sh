# Prometheus, from Debian. It scrapes the targets that tests write to the folder $LIMBIC_TEST_PROMETHEUS_TARGETS (JSON files in
# the format of file_sd_configs), and accepts remote writes.
# shellcheck shell=bash

prometheus_version() { echo "$PROMETHEUS_VERSION"; }
prometheus_ports() { echo main; }

prometheus_install() {
    ensure prometheus prometheus
    ensure curl curl
    prometheus --version 2>&1 | grep -q "version $PROMETHEUS_VERSION\." ||
        fail "$(prometheus --version 2>&1 | head -n 1) is not Prometheus $PROMETHEUS_VERSION" \
            "install Prometheus $PROMETHEUS_VERSION or pin yours in $RECIPES/versions"
}

prometheus_start() {
    local home=$RUN/prometheus
    mkdir -p "$home/data" "$home/targets"
    cp "$RECIPES/prometheus/prometheus.yml" "$home/"
    echo "[{\"targets\": [\"127.0.0.1:$(port prometheus main)\"], \"labels\": {\"job\": \"prometheus\"}}]" \
        >"$home/targets/prometheus.json"
    launch prometheus prometheus --config.file="$home/prometheus.yml" --storage.tsdb.path="$home/data" \
        --web.listen-address="127.0.0.1:$(port prometheus main)" --web.enable-lifecycle \
        --web.enable-remote-write-receiver
}

prometheus_healthy() {
    curl -q -sS --fail -m 5 "$(prometheus_url)/api/v1/query?query=vector(42)" | grep -q '"42"' &&
        curl -q -sS --fail -m 5 "$(prometheus_url)/-/ready"
}

prometheus_url() { echo "http://127.0.0.1:$(port prometheus main)"; }

prometheus_env() {
    echo "export LIMBIC_TEST_PROMETHEUS=$(prometheus_url)"
    echo "export LIMBIC_TEST_PROMETHEUS_TARGETS=$RUN/prometheus/targets"
}
