# Neo4j, community edition. Authentication is off: any name and password are accepted.
# shellcheck shell=bash

neo4j_version() { echo "$NEO4J_VERSION"; }
neo4j_ports() { echo bolt http; }
neo4j_home() { built neo4j "$NEO4J_VERSION" "$RECIPES/neo4j/pom.xml"; }

neo4j_install() {
    ensure curl curl
    [[ -d $(neo4j_home) ]] || require_maven
    require_java
    build_once "$(neo4j_home)" neo4j_build
}

neo4j_build() {
    mvn -q -B -C -f "$RECIPES/neo4j/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
        -Dneo4j.version="$NEO4J_VERSION" -DoutputDirectory="$1/lib"
}

neo4j_start() {
    local home=$RUN/neo4j
    mkdir -p "$home"/{conf,data,logs,plugins,import,run,licenses}
    cat >"$home/conf/neo4j.conf" <<CONF
server.default_listen_address=127.0.0.1
server.bolt.listen_address=127.0.0.1:$(port neo4j bolt)
server.bolt.advertised_address=127.0.0.1:$(port neo4j bolt)
server.http.listen_address=127.0.0.1:$(port neo4j http)
server.memory.pagecache.size=128m
db.tx_log.preallocate=false
dbms.security.auth_enabled=false
dbms.usage_report.enabled=false
CONF
    launch neo4j java -Xmx512m -XX:+UseSerialGC --add-opens=java.base/java.nio=ALL-UNNAMED \
        --add-opens=java.base/java.io=ALL-UNNAMED --add-opens=java.base/sun.nio.ch=ALL-UNNAMED \
        -Dlog4j2.disable.jmx=true -cp "$(neo4j_home)/lib/*" org.neo4j.server.CommunityEntryPoint \
        --home-dir="$home" --config-dir="$home/conf" --console-mode
}

# The port answers seconds before the database does, so only a query shows that it is ready.
neo4j_healthy() {
    curl -q -sS --fail -m 5 -H 'Content-Type: application/json' -d '{"statements":[{"statement":"RETURN 4200 + 42"}]}' \
        "http://127.0.0.1:$(port neo4j http)/db/neo4j/tx/commit" | grep -q 4242
}

neo4j_env() {
    echo "export LIMBIC_TEST_NEO4J=bolt://127.0.0.1:$(port neo4j bolt)"
    echo "export LIMBIC_TEST_NEO4J_HTTP=http://127.0.0.1:$(port neo4j http)"
}
