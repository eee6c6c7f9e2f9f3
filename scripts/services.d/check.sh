# Checks that docker-compose.yml, the Go modules and the Maven projects use the versions in services.d/versions.
# shellcheck shell=bash

COMPOSE=$SCRIPTS/../docker-compose.yml

# The image of a server in docker-compose.yml.
image_of() {
    case $1 in
    kafka) echo "apache/kafka:$KAFKA_VERSION" ;;
    postgres) echo "postgres:$POSTGRES_VERSION" ;;
    redis) echo "redis:$REDIS_VERSION" ;;
    influxdb) echo "influxdb:$INFLUXDB_VERSION" ;;
    neo4j) echo "neo4j:$NEO4J_VERSION-community" ;;
    ferretdb) echo "ferretdb/ferretdb:$FERRETDB_VERSION" ;;
    prometheus) echo "prom/prometheus:v$PROMETHEUS_VERSION.0" ;;
    esac
}

command_check() {
    local problems
    problems=$(
        check_compose
        check_go_module influxdb "github.com/influxdata/influxdb/v2 v$INFLUXDB_VERSION"
        check_go_module ferretdb "github.com/FerretDB/FerretDB v$FERRETDB_VERSION"
        check_maven_project kafka
        check_maven_project neo4j
    )
    if [[ -n $problems ]]; then
        printf 'services: %s\n' "${problems//$'\n'/$'\nservices: '}" >&2
        fail "these differ from $RECIPES/versions" "change the version in that file first, then in the files named above"
    fi
    say "docker-compose.yml, the Go modules and the Maven projects agree with services.d/versions"
}

check_compose() {
    diff <(for name in "${ALL[@]}"; do echo "$name $(image_of "$name")"; done | sort) <(compose_images | sort) |
        sed -n 's/^< /docker-compose.yml lacks: /p; s/^> /docker-compose.yml has instead: /p'
}

# Prints "SERVICE IMAGE" for each service. Service names are indented by two spaces below `services:`, their keys by four.
compose_images() {
    awk '/^[a-z]/ { inside = /^services:/ }
         inside && /^  [a-z0-9]+:/ { sub(/:.*/, ""); service = $1 }
         inside && /^    image: / { print service, $2 }' "$COMPOSE"
}

check_go_module() {
    grep -qE "^(require)?\s*$2\$" "$RECIPES/$1/go.mod" || echo "services.d/$1/go.mod does not require $2"
}

# A dependency's version must be a property that is filled in from services.d/versions.
check_maven_project() {
    awk -v file="services.d/$1/pom.xml" '
        /<dependency>/ { inside = 1; seen = 1 }
        inside && /<version>/ && !/<version>\$\{[a-z0-9]+\.version\}</ { gsub(/^ +/, ""); print file " pins by itself: " $0 }
        END { if (!seen) print file " names no dependency" }' "$RECIPES/$1/pom.xml" || echo "services.d/$1/pom.xml cannot be read"
}
