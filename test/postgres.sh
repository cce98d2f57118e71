#!/bin/sh
# A PostgreSQL server for the tests, in a folder of its own, reached through a Unix socket only.
#
#   test/postgres.sh start        start it (or find it running) and print its URL
#   test/postgres.sh stop         stop it and remove its folder
#   test/postgres.sh run CMD...   start one of its own, run CMD with HANSHU_TEST_POSTGRES set, stop it
#
# It does not wait for the disk: no test cuts the power, and a killed server loses nothing of what the system has.
#
# It uses Debian's postgresql package, which it installs when missing and allowed to. PostgreSQL refuses to run as root,
# so root runs it as the user "postgres" or "nobody".
set -eu

repo=$(cd "$(dirname "$0")/.." && pwd)
place=${TMPDIR:-/tmp}/hanshu-postgres-$(id -u)-$(printf %s "$repo" | cksum | cut -d' ' -f1)

fail() { echo "postgres.sh: $*" >&2; exit 1; }

find_bin() {
    for bin in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -Vr); do
        [ -x "$bin/initdb" ] && return
    done
    bin=$(command -v initdb) && bin=$(dirname "$bin") && return
    return 1
}

as_owner() {
    if [ "$(id -u)" != 0 ]; then "$@"; else runuser -u "$owner" -- "$@"; fi
}

prepare() {
    if ! find_bin; then
        [ "$(id -u)" = 0 ] || fail "initdb is missing; install the package postgresql"
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends postgresql >&2 ||
            fail "the package postgresql cannot be installed"
        find_bin || fail "initdb is missing"
    fi
    owner=nobody
    if id postgres >/dev/null 2>&1; then owner=postgres; fi
}

start() {
    dir=$1
    prepare
    if [ -e "$dir" ] && [ "$(stat -c %u "$dir")" != "$(as_owner id -u)" ]; then fail "$dir belongs to someone else"; fi
    if [ ! -e "$dir/data/PG_VERSION" ]; then
        rm -rf "$dir"
        mkdir -m 700 "$dir"
        if [ "$(id -u)" = 0 ]; then chown "$owner" "$dir"; fi
        (cd "$dir" && as_owner "$bin/initdb" --no-sync -A trust -U hanshu -E UTF8 --locale=C -D "$dir/data" >"$dir/initdb.log" 2>&1) ||
            { cat "$dir/initdb.log" >&2; fail "initdb failed"; }
    fi
    if ! (cd "$dir" && as_owner "$bin/pg_ctl" -D "$dir/data" status >/dev/null 2>&1); then
        (cd "$dir" && as_owner "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/server.log" \
            -o "-c fsync=off -c listen_addresses='' -c unix_socket_directories='$dir' -c max_connections=300" start >/dev/null 2>&1) ||
            { cat "$dir/server.log" >&2; fail "the server does not start"; }
    fi
    echo "postgres://hanshu@/postgres?host=$dir"
}

stop() {
    dir=$1
    [ -e "$dir" ] || return 0
    prepare
    (cd "$dir" && as_owner "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1) || true
    rm -rf "$dir"
}

case ${1:-} in
start) start "$place" ;;
stop) stop "$place" ;;
run)
    shift
    own=$place-$$
    trap 'stop "$own"' EXIT
    trap 'exit 130' INT TERM
    HANSHU_TEST_POSTGRES=$(start "$own")
    export HANSHU_TEST_POSTGRES
    "$@"
    ;;
*) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
