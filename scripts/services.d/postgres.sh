# PostgreSQL, from Debian, with passwords as in production and without fsync: a test's database need not survive a power cut.
#
# `limbic` is an ordinary role, so row-level security applies to it. It may create databases and roles, so that each test can
# have its own. The administrator's URL is for what only a superuser may do.
# shellcheck shell=bash

# Debian has a separate folder for each major version. On other systems the version on the PATH is used.
POSTGRES_BIN=/usr/lib/postgresql/$POSTGRES_VERSION/bin
if [[ ! -d $POSTGRES_BIN && ! -d /etc/apt ]] && command -v initdb >/dev/null; then
    POSTGRES_BIN=$(dirname "$(command -v initdb)")
fi

postgres_version() { echo "$POSTGRES_VERSION"; }
postgres_ports() { echo main; }
postgres_stop_signal() { echo INT; } # "fast": TERM would wait for the clients to leave

postgres_install() {
    ensure "$POSTGRES_BIN/postgres" "postgresql-$POSTGRES_VERSION" "postgresql-client-$POSTGRES_VERSION"
    ensure psql "postgresql-client-$POSTGRES_VERSION"
    "$POSTGRES_BIN/postgres" --version | grep -q " ${POSTGRES_VERSION}[. ]" ||
        fail "$("$POSTGRES_BIN/postgres" --version) is not PostgreSQL $POSTGRES_VERSION" \
            "install PostgreSQL $POSTGRES_VERSION or pin yours in $RECIPES/versions"
}

# PostgreSQL refuses to run as root.
as_postgres() {
    if [[ $EUID -eq 0 ]]; then
        setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
    else
        "$@"
    fi
}

postgres_url() { echo "postgres://$1:$1@127.0.0.1:$(port postgres main)/$2"; }

postgres_start() {
    local data=$RUN/postgres/data user=()
    [[ $EUID -ne 0 ]] || user=(setpriv --reuid=postgres --regid=postgres --init-groups --)
    if [[ ! -f $data/limbic-is-ready ]]; then
        rm -rf "$data"
        mkdir -m 700 "$data"
        [[ $EUID -ne 0 ]] || chown postgres: "$data"
        as_postgres test -x "$data" ||
            fail "the user postgres cannot reach $data" "set LIMBIC_SERVICES_RUN to a folder under /tmp"
        postgres_create "$data" >"$RUN/postgres/initdb.log" 2>&1 || {
            tail -n 20 "$RUN/postgres/initdb.log" >&2
            fail "cannot create a new PostgreSQL database" "read $RUN/postgres/initdb.log"
        }
    fi
    postgres_bury "$data"
    launch postgres "${user[@]}" "$POSTGRES_BIN/postgres" -D "$data" -p "$(port postgres main)" \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200 \
        -c shared_buffers=64MB -c fsync=off -c full_page_writes=off
}

# A killed server leaves its lock file, and child processes that need a moment to end. In many containers nothing collects dead
# processes, and the old process id still looks alive to PostgreSQL. So the lock file is removed once no process uses the folder.
postgres_bury() {
    local tick
    for ((tick = 0; tick < 100; tick++)); do
        readlink /proc/[0-9]*/cwd 2>/dev/null | grep -qxF "$1" || break
        sleep 0.1
    done
    ((tick == 100)) || rm -f "$1/postmaster.pid"
}

# A server in single-user mode creates the roles and the database, so no client sees a half-prepared server.
postgres_create() {
    echo postgres >"$RUN/postgres/password"
    as_postgres "$POSTGRES_BIN/initdb" -D "$1" --username=postgres --auth=scram-sha-256 --pwfile="$RUN/postgres/password" \
        --encoding=UTF8 --locale=C.UTF-8 --no-sync &&
        as_postgres "$POSTGRES_BIN/postgres" --single -D "$1" -c fsync=off postgres  \
            <"$RECIPES/postgres/roles.sql" &&
        as_postgres touch "$1/limbic-is-ready"
}

postgres_healthy() {
    [[ $(timeout 10 psql "$(postgres_url limbic limbic)" --no-psqlrc -tAc 'SELECT 1') == 1 ]]
}

postgres_env() {
    echo "export LIMBIC_TEST_POSTGRES=$(postgres_url limbic limbic)"
    echo "export LIMBIC_TEST_POSTGRES_ADMIN=$(postgres_url postgres postgres)"
}
