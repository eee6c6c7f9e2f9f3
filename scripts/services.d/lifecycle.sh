# The lifecycle of one server: ports, start, health, stop. A recipe NAME.sh defines
#   NAME_version   the version that `status` shows          NAME_install   installs the programs (idempotent)
#   NAME_ports     names of its ports, the main one first   NAME_start     prepares data if there is none, then calls `launch`
#   NAME_healthy   true if the server does real work within about 10 s; a probe that hangs counts as failed
#   NAME_env       prints its export lines
# and optionally NAME_stop_signal.
# shellcheck shell=bash

# Log lines after which a new start helps: a port that was taken between choice and use, and the shared memory of a
# killed PostgreSQL whose child processes have not all ended yet.
PASSING='address (already )?in use|pre-existing shared memory'

# port NAME WHICH: prints the number of a port, as stored in the server's folder.
port() { sed -n "s/^$2=//p" "$RUN/$1/ports"; }

main_port() {
    local names
    read -ra names <<<"$("${1}_ports")"
    port "$1" "${names[0]}"
}

choose_ports() {
    local name=$1 names numbers index
    read -ra names <<<"$("${name}_ports")"
    read -ra numbers <<<"$(free_ports "${#names[@]}")"
    for index in "${!names[@]}"; do
        printf '%s=%s\n' "${names[$index]}" "${numbers[$index]}"
    done >"$RUN/$name/ports"
}

# A server that died starts again on its old ports, because other programs may have noted them, unless they are taken.
keep_or_choose_ports() {
    local number
    [[ -s $RUN/$1/ports ]] || { choose_ports "$1" && return; }
    while IFS='=' read -r _ number; do
        if (exec 3<>"/dev/tcp/127.0.0.1/$number") 2>/dev/null; then
            say "port $number of $1 is taken by another program; choosing new ones"
            choose_ports "$1"
            return
        fi
    done <"$RUN/$1/ports"
}

start() {
    local name=$1
    stop "$name"
    mkdir -p "$RUN/$name"
    keep_or_choose_ports "$name"
    # The log of an earlier start must not be mistaken for the log of this one.
    [[ ! -f $RUN/$name/log ]] || mv "$RUN/$name/log" "$RUN/$name/log.before"
    say "starting $name $("${name}_version")"
    "${name}_start"
}

# launch NAME COMMAND…: called by a recipe's start. The server keeps running after this script, its session and its locks end.
launch() {
    local name=$1
    shift
    setsid "$@" </dev/null >>"$RUN/$name/log" 2>&1 8>&- 9>&- &
    printf '%s %s\n' "$!" "$(birth_of "$!")" >"$RUN/$name/pid"
}

# The start time of a process, in clock ticks since boot. It shows whether a process id was reused.
birth_of() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

pid_of() { cut -d' ' -f1 "$RUN/$1/pid"; }

is_running() {
    local pid birth
    [[ -s $RUN/$1/pid ]] || return 1
    read -r pid birth <"$RUN/$1/pid"
    [[ -n $birth && $(birth_of "$pid") == "$birth" && $(state_of "$pid") != Z ]]
}

state_of() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f1; }

# recovers NAME: true if a running server answers within 30 s. On a busy machine a slow answer must not stop a server that others
# use.
recovers() {
    local until=$((SECONDS + 30))
    while is_running "$1"; do
        if "${1}_healthy" >/dev/null 2>&1; then return 0; fi
        ((SECONDS < until)) || break
        sleep 0.5
    done
    return 1
}

await() {
    local name=$1 started=$SECONDS retries=3
    until is_running "$name" && "${name}_healthy" >/dev/null 2>&1; do
        if ! is_running "$name"; then
            if ((retries-- > 0)) && grep -qiE "$PASSING" "$RUN/$name/log"; then
                sleep 1
                start "$name"
                continue
            fi
            complain "$name" "$name ended before it answered"
            return 1
        fi
        if ((SECONDS - started > TIMEOUT)); then
            complain "$name" "$name did not answer within $TIMEOUT s"
            return 1
        fi
        sleep 0.1
    done
    say "$name is up on port $(main_port "$name") after $((SECONDS - started)) s"
}

complain() {
    say "$2; the end of $RUN/$1/log:"
    tail -n 25 "$RUN/$1/log" | sed 's/^/  | /' >&2
    printf '  remedy: %s\n' "read the log; start again with 'scripts/services down $1' and 'scripts/services up $1'" \
        "on a busy machine allow more time: LIMBIC_SERVICES_TIMEOUT=300" >&2
}

# stop NAME: sends the recorded process its stop signal, and kills it if it does not end. The data stays.
stop() {
    local name=$1 pid signal=TERM
    if is_running "$name"; then
        pid=$(pid_of "$name")
        declare -F "${name}_stop_signal" >/dev/null && signal=$("${name}_stop_signal")
        say "stopping $name ($pid)"
        kill -s "$signal" "$pid"
        ended_within 20 "$name" || {
            say "$name did not end in 20 s; killing it"
            kill -KILL "$pid"
            ended_within 20 "$name" || fail "$name ($pid) cannot be killed" "look for a hanging disk: ps -o stat,wchan -p $pid"
        }
    fi
    rm -f "$RUN/$name/pid"
}

ended_within() {
    local tick
    for ((tick = 0; tick < $1 * 10; tick++)); do
        is_running "$2" || return 0
        sleep 0.1
    done
    return 1
}

# Proportional memory of a process and its children, in MiB. Shared pages are counted once.
resident_mb() {
    local pending=("$1") pid total=0 kilobytes
    while [[ ${#pending[@]} -gt 0 ]]; do
        pid=${pending[0]}
        pending=("${pending[@]:1}")
        kilobytes=$(sed -n 's/^Pss: *\([0-9]*\).*/\1/p' "/proc/$pid/smaps_rollup" 2>/dev/null || true)
        total=$((total + ${kilobytes:-0}))
        # shellcheck disable=SC2207 # numbers only
        pending+=($(cat "/proc/$pid/task/"*/children 2>/dev/null || true))
    done
    echo $((total / 1024))
}

# Writes the lines of `env` to the file $RUN/env.
write_env_file() {
    local name
    [[ -d $RUN ]] || return 0
    for name in "${ALL[@]}"; do
        [[ ! -f $RUN/$name/pid ]] || "${name}_env"
    done >"$RUN/env.new"
    mv "$RUN/env.new" "$RUN/env"
}
