#!/usr/bin/env bash
# Sees to it that this machine has what hanshu needs.
#
#   test/deps.sh build    to build it: Go
#   test/deps.sh run      to build it and to run functions: Python 3, Node.js, PHP
#   test/deps.sh          to build and test everything: a C compiler for the race detector, PostgreSQL, RabbitMQ, mosquitto, npm,
#                         strace, a Java compiler, Jython,
#                         OCI runtimes
#
# On Debian and Ubuntu root installs what is missing; anyone else is told what to install. Go is never installed: the version
# that go.mod asks for is newer than most distributions'.
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-test}
case $what in build | run | test) ;; *) sed -n '4,6s/^# *//p' "$0" >&2; exit 2 ;; esac

fail() { echo "deps: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# at_least VERSION MINIMUM
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

want_go=$(awk '$1 == "go" { print $2 }' go.mod)
have go || fail "Go is missing. Install Go $want_go or newer from https://go.dev/dl/ and put it into PATH."
# Outside the module, or the go command would fetch the newer one by itself and hide that this one is too old.
have_go=$(cd / && GOTOOLCHAIN=local go env GOVERSION)
at_least "${have_go#go}" "$want_go" || fail "$have_go is too old. Install Go $want_go or newer from https://go.dev/dl/ and put it first into PATH."

missing=()
if [ "$what" != build ]; then
    have python3 || missing+=(python3)
    have node || missing+=(nodejs)
    have php || missing+=(php-cli)
fi
if [ "$what" = test ]; then
    have npm || missing+=(npm)
    have javac || missing+=(default-jdk-headless)
    have jython || missing+=(jython)
    have strace || missing+=(strace)
    have "$(go env CC)" || missing+=(gcc libc6-dev)
    have runc || [ -x /usr/sbin/runc ] || missing+=(runc)
    have crun || missing+=(crun)
    have mosquitto || [ -x /usr/sbin/mosquitto ] || missing+=(mosquitto)
    have ip || missing+=(iproute2)
    have mosquitto_pub || missing+=(mosquitto-clients)
    [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || missing+=(rabbitmq-server)
    have initdb || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
fi

if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && have apt-get; then
        echo "deps: installing ${missing[*]}"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -q >/dev/null
        apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
    elif [ "$what" = run ]; then
        echo "deps: missing ${missing[*]}; functions in those languages cannot run. To install: sudo apt-get install ${missing[*]}" >&2
    else
        fail "missing ${missing[*]}. To install: sudo apt-get install ${missing[*]}"
    fi
fi

if [ "$what" = test ]; then
    node_version=$(node --version)
    at_least "${node_version#v}" 18 || fail "Node.js $node_version is too old for the Node SDK; 18 or newer is needed."
fi
