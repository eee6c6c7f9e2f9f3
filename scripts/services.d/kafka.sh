# Apache Kafka: one KRaft node with a plain listener and a second one with TLS and SASL/SCRAM-SHA-512.
# shellcheck shell=bash

KAFKA_USER=limbic
KAFKA_PASSWORD=limbic-test

kafka_version() { echo "$KAFKA_VERSION"; }
kafka_ports() { echo plain secure controller; }
kafka_home() { built kafka "$KAFKA_VERSION" "$RECIPES/kafka/pom.xml" "$RECIPES/kafka/make-certificates"; }

kafka_install() {
    [[ -d $(kafka_home) ]] || require_maven
    require_java
    build_once "$(kafka_home)" kafka_build
}

kafka_build() {
    mvn -q -B -C -f "$RECIPES/kafka/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
        -Dkafka.version="$KAFKA_VERSION" -Dlog4j.version="$LOG4J_VERSION" -DoutputDirectory="$1/libs" &&
        "$RECIPES/kafka/make-certificates" "$1/tls"
}

# kafka_java OPTION CLASS ARGUMENT…: prints the words of a command that runs one of Kafka's programs, each followed by a zero byte.
kafka_java() {
    local option=$1
    shift
    printf '%s\0' java "$option" -XX:+UseSerialGC "-Dlog4j2.configurationFile=$RECIPES/kafka/log4j2.properties" \
        -cp "$(kafka_home)/libs/*" "$@"
}

kafka_start() {
    local home=$RUN/kafka settings=$RUN/kafka/server.properties command
    "$RECIPES/kafka/settings" 127.0.0.1 "$(port kafka plain)" "$(port kafka secure)" "$(port kafka controller)" \
        "$(kafka_home)/tls" "$home/data" >"$settings"
    if [[ ! -f $home/data/meta.properties ]]; then
        rm -rf "$home/data"
        mapfile -d '' -t command < <(kafka_java -XX:TieredStopAtLevel=1 kafka.tools.StorageTool format -c "$settings" \
            -t "$(kafka_cluster_id)" --add-scram "SCRAM-SHA-512=[name=$KAFKA_USER,password=$KAFKA_PASSWORD]")
        "${command[@]}" >"$home/format.log" 2>&1 || {
            tail -n 20 "$home/format.log" >&2
            fail "Kafka's storage could not be formatted" "read $home/format.log"
        }
    fi
    mapfile -d '' -t command < <(kafka_java -Xmx512m kafka.Kafka "$settings")
    launch kafka "${command[@]}"
}

# Sixteen random bytes in URL-safe base64, as Kafka requires: no padding, no dash at the start.
kafka_cluster_id() { "$PYTHON" -I -c 'import base64, os; print("L" + base64.urlsafe_b64encode(os.urandom(16)).decode()[1:22])'; }

kafka_healthy() {
    timeout 10 "$PYTHON" -I "$RECIPES/kafka/probe.py" "127.0.0.1:$(port kafka plain)" &&
        timeout 10 "$PYTHON" -I "$RECIPES/kafka/probe.py" "127.0.0.1:$(port kafka secure)" \
            "$KAFKA_USER" "$KAFKA_PASSWORD" "$(kafka_home)/tls/ca.pem"
}

kafka_env() {
    echo "export LIMBIC_TEST_KAFKA=127.0.0.1:$(port kafka plain)"
    echo "export LIMBIC_TEST_KAFKA_SASL=127.0.0.1:$(port kafka secure)"
    echo "export LIMBIC_TEST_KAFKA_SASL_USER=$KAFKA_USER"
    echo "export LIMBIC_TEST_KAFKA_SASL_PASSWORD=$KAFKA_PASSWORD"
    echo "export LIMBIC_TEST_KAFKA_SASL_CA=$(kafka_home)/tls/ca.pem"
}
