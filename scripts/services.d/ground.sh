# The ground the recipes stand on: words to the user, locks, packages, the cache and free ports.
# shellcheck shell=bash

say() { printf 'services: %s\n' "$*" >&2; }

# fail WHAT REMEDY: the end of this run.
fail() {
    printf 'services: %s\n' "$1" >&2
    printf '  remedy: %s\n' "$2" >&2
    exit 1
}

# Owns the scratch folder for the rest of this process: a second `up` waits here, then finds everything running.
lock_run() {
    mkdir -p "$(dirname "$RUN")"
    exec 9>>"$RUN.lock"
    flock -n 9 || {
        say "another run is at work on $RUN, waiting for it"
        flock 9
    }
    mkdir -p "$RUN"
    [[ -O $RUN ]] || fail "$RUN belongs to somebody else" "set LIMBIC_SERVICES_RUN to a folder of your own"
    chmod 711 "$RUN" # the postgres user has to pass through it
}

# require COMMAND HINT: tools that are a matter of taste on a developer's machine are asked for, not installed.
require() {
    command -v "$1" >/dev/null || fail "'$1' is not on the PATH" "$2"
}

require_java() {
    local hint="install a Java 17 or newer, for example: apt-get install -y openjdk-17-jre-headless"
    require java "$hint"
    local major
    major=$(java -version 2>&1 | sed -n 's/^[^"]* version "\([0-9]*\).*/\1/p')
    ((${major:-0} >= 17)) || fail "Java ${major:-of an unknown version} is too old" "$hint"
}

require_maven() {
    require_java
    require mvn "install Maven 3.6 or newer, for example: apt-get install -y maven"
}

require_go() { require go "install Go 1.24 or newer and put its bin folder on the PATH"; }

# ensure COMMAND PACKAGE…: has the command from these Debian packages, without letting them start servers of their own.
ensure() {
    command -v "$1" >/dev/null && return
    shift
    local missing=("$@")
    command -v apt-get >/dev/null || fail "these Debian packages are needed: ${missing[*]}" "install what they stand for on this system, on the PATH"
    [[ $EUID -eq 0 ]] || fail "these Debian packages are needed: ${missing[*]}" "sudo apt-get install -y ${missing[*]}"
    say "installing ${missing[*]}"
    (
        mkdir -p "$CACHE"
        exec 8>>"$CACHE/apt.lock"
        flock 8
        local log
        log=$(mktemp)
        forbid_service_starts
        trap 'allow_service_starts; rm -f "$log"' EXIT
        export DEBIAN_FRONTEND=noninteractive
        local attempt=(apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}")
        # The lists of a fresh machine are empty, those of an old one name packages that are gone.
        "${attempt[@]}" >"$log" 2>&1 || { apt-get update -q && "${attempt[@]}"; } >"$log" 2>&1 || {
            tail -n 20 "$log" >&2
            fail "apt-get could not install ${missing[*]}" "read its words above; then: apt-get install -y ${missing[*]}"
        }
    )
}

# Debian starts a server as soon as its package is unpacked, unless policy-rc.d says no (101 = forbidden).
POLICY=/usr/sbin/policy-rc.d

forbid_service_starts() {
    if [[ -e $POLICY ]] && ! grep -q 'limbic services' "$POLICY"; then
        mv "$POLICY" "$POLICY.before-limbic"
    fi
    printf '#!/bin/sh\n# limbic services: for the length of one installation\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
}

allow_service_starts() {
    rm -f "$POLICY"
    [[ ! -e $POLICY.before-limbic ]] || mv "$POLICY.before-limbic" "$POLICY"
}

# built NAME VERSION FILE…: the folder of this build; its name changes with the version and with the recipe's files.
built() {
    local name=$1 version=$2
    shift 2
    printf '%s/%s-%s-%s' "$CACHE" "$name" "$version" "$(cat "$@" | sha256sum | cut -c1-10)"
}

# build_once FOLDER COMMAND…: runs `COMMAND… TEMPORARY_FOLDER` and renames the result to FOLDER, so that FOLDER is either
# whole or absent, however many processes want it and wherever one of them is killed.
build_once() {
    local folder=$1
    shift
    [[ -d $folder ]] && return
    mkdir -p "$CACHE"
    (
        exec 8>>"$folder.lock"
        flock -n 8 || {
            say "another process is building $(basename "$folder"), waiting for it"
            flock 8
        }
        [[ -d $folder ]] && exit 0
        local unfinished=$folder.unfinished started=$SECONDS
        rm -rf "$unfinished"
        mkdir -p "$unfinished"
        say "building $(basename "$folder"), once; its words go to $folder.log"
        "$@" "$unfinished" >"$folder.log" 2>&1 || {
            tail -n 25 "$folder.log" >&2
            rm -rf "$unfinished"
            fail "building $(basename "$folder") failed" "read $folder.log, mend the cause, and run this again"
        }
        mv "$unfinished" "$folder"
        say "built $(basename "$folder") in $((SECONDS - started)) s"
    )
}

# A version manager's stand-in for python3 takes longer to start than a probe to run: prefer the system's own.
PYTHON=/usr/bin/python3
[[ -x $PYTHON ]] || PYTHON=python3

# free_ports COUNT: so many ports of 127.0.0.1 that nobody listens on, from below the range that the kernel hands out to
# outgoing connections: between the choice and the server's bind no client of anything can take them.
free_ports() {
    "$PYTHON" -I - "$1" <<'PYTHON'
import random, socket, sys
kept = []
while len(kept) < int(sys.argv[1]):
    candidate = socket.socket()
    try:
        candidate.bind(("127.0.0.1", random.randrange(20000, 32000)))
    except OSError:
        candidate.close()
        continue
    kept.append(candidate)
print(*(one.getsockname()[1] for one in kept))
PYTHON
}
