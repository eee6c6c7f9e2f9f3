# Functions that all recipes use: messages, locks, packages, the build cache and free ports.
# shellcheck shell=bash

say() { printf 'services: %s\n' "$*" >&2; }

# fail WHAT REMEDY: prints both and ends this run.
fail() {
    printf 'services: %s\n' "$1" >&2
    printf '  remedy: %s\n' "$2" >&2
    exit 1
}

# Locks the set's folder for the rest of this process. A second `up` waits here and then finds all servers running.
lock_run() {
    mkdir -p "$(dirname "$RUN")"
    exec 9>>"$RUN.lock"
    flock -n 9 || {
        say "another run uses $RUN, waiting for it"
        flock 9
    }
    mkdir -p "$RUN"
    [[ -O $RUN ]] || fail "$RUN belongs to another user" "set LIMBIC_SERVICES_RUN to a folder of your own"
    chmod 711 "$RUN" # the postgres user needs access to its subfolder
}

# require COMMAND HINT: fails if a tool is missing. Developers choose these tools themselves, so the script does not install them.
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

# ensure COMMAND PACKAGE…: installs these Debian packages if the command is missing, and prevents them from starting servers.
ensure() {
    command -v "$1" >/dev/null && return
    shift
    local missing=("$@")
    command -v apt-get >/dev/null || fail "these Debian packages are needed: ${missing[*]}" "install the equivalent packages of this system, and put their programs on the PATH"
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
        # On a fresh machine the package lists are empty. On an old one they may name packages that no longer exist.
        "${attempt[@]}" >"$log" 2>&1 || { apt-get update -q && "${attempt[@]}"; } >"$log" 2>&1 || {
            tail -n 20 "$log" >&2
            fail "apt-get could not install ${missing[*]}" "read the output above, then run: apt-get install -y ${missing[*]}"
        }
    )
}

# Debian starts a server when it installs its package, unless policy-rc.d exits with 101 (forbidden).
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

# built NAME VERSION FILE…: prints the folder of this build. Its name changes with the version and with the content of the files.
built() {
    local name=$1 version=$2
    shift 2
    printf '%s/%s-%s-%s' "$CACHE" "$name" "$version" "$(cat "$@" | sha256sum | cut -c1-10)"
}

# build_once FOLDER COMMAND…: runs `COMMAND… TEMPORARY_FOLDER` and renames the result to FOLDER. So FOLDER is either complete
# or absent, however many processes need it and whenever one of them is killed.
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
        say "building $(basename "$folder"), once; its output goes to $folder.log"
        "$@" "$unfinished" >"$folder.log" 2>&1 || {
            tail -n 25 "$folder.log" >&2
            rm -rf "$unfinished"
            fail "building $(basename "$folder") failed" "read $folder.log, fix the cause, and run the command again"
        }
        mv "$unfinished" "$folder"
        say "built $(basename "$folder") in $((SECONDS - started)) s"
    )
}

# A version manager's wrapper of python3 takes longer to start than a probe takes to run, so the system's own is preferred.
PYTHON=/usr/bin/python3
[[ -x $PYTHON ]] || PYTHON=python3

# free_ports COUNT: prints that many ports of 127.0.0.1 on which no process listens. They lie below the range that the kernel
# uses for outgoing connections, so no client can take one between the choice and the server's bind.
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
