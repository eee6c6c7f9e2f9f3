# The life of one server: ports, start, health, stop. A recipe NAME.sh gives
#   NAME_version   what `status` shows                      NAME_install   make the programs be there (idempotent)
#   NAME_ports     names of its ports, the main one first   NAME_start     prepare data if there is none, then `launch`
#   NAME_healthy   true when the server does its real work, within 10 s or so: a probe that hangs is a probe that failed
#   NAME_env       print its export lines
# and may give NAME_stop_signal.
# shellcheck shell=bash

# Lines of a log that mean "try again": a port taken in the instant between choice and use, and the memory of a
# killed PostgreSQL whose children have not all noticed yet.
PASSING='address (already )?in use|pre-existing shared memory'

# port NAME WHICH: the number of a port, as kept in the server's folder.
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

# A server that died comes back on its old ports, for the sake of those who wrote them down, unless they are taken.
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
    # What one start said must not be taken for the words of the next.
    [[ ! -f $RUN/$name/log ]] || mv "$RUN/$name/log" "$RUN/$name/log.before"
    say "starting $name $("${name}_version")"
    "${name}_start"
}

# launch NAME COMMAND…: called by a recipe's start; the server outlives this script, its session and its locks.
launch() {
    local name=$1
    shift
    setsid "$@" </dev/null >>"$RUN/$name/log" 2>&1 8>&- 9>&- &
    printf '%s %s\n' "$!" "$(birth_of "$!")" >"$RUN/$name/pid"
}

# When a process was born, in clock ticks since boot: with it a number that was reused is not mistaken for the server.
birth_of() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

pid_of() { cut -d' ' -f1 "$RUN/$1/pid"; }

is_running() {
    local pid birth
    [[ -s $RUN/$1/pid ]] || return 1
    read -r pid birth <"$RUN/$1/pid"
    [[ -n $birth && $(birth_of "$pid") == "$birth" && $(state_of "$pid") != Z ]]
}

state_of() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f1; }

# recovers NAME: true when a running server answers, if need be after a while: on a busy machine a slow answer is no reason to
# cut off those who use the server.
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
    printf '  remedy: %s\n' "read the log; begin anew with 'scripts/services down $1' and 'scripts/services up $1'" \
        "on a busy machine give it longer: LIMBIC_SERVICES_TIMEOUT=300" >&2
}

# stop NAME: by the process that was recorded, asked first, then told. Its data stays.
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

# Proportional memory of a process and its children, in MiB: shared pages are counted once.
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

# The same lines as `env`, kept for those who want a file: $RUN/env.
write_env_file() {
    local name
    [[ -d $RUN ]] || return 0
    for name in "${ALL[@]}"; do
        [[ ! -f $RUN/$name/pid ]] || "${name}_env"
    done >"$RUN/env.new"
    mv "$RUN/env.new" "$RUN/env"
}
