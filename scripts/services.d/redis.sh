# Redis, from Debian, without persistence. The tests must tolerate that a cache loses its content when it stops.
# shellcheck shell=bash

redis_version() { echo "$REDIS_VERSION"; }
redis_ports() { echo main; }

redis_install() {
    ensure redis-server redis-server redis-tools
    ensure redis-cli redis-tools
    redis-server --version | grep -q "v=$REDIS_VERSION\." ||
        fail "$(redis-server --version) is not Redis $REDIS_VERSION" "install Redis $REDIS_VERSION or pin yours in $RECIPES/versions"
}

redis_start() {
    launch redis redis-server --bind 127.0.0.1 --port "$(port redis main)" --dir "$RUN/redis" \
        --save '' --appendonly no --daemonize no --protected-mode yes
}

redis_healthy() { timeout 10 redis-cli -h 127.0.0.1 -p "$(port redis main)" ping | grep -qx PONG; }

redis_env() { echo "export LIMBIC_TEST_REDIS=redis://127.0.0.1:$(port redis main)"; }
