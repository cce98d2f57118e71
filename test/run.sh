#!/usr/bin/env bash
# Runs every test: the real clients, then `go test -race ./...`, against the program in bin and a PostgreSQL of its own.
# It ends with a summary, and fails when any suite does. `make test` builds the program first.
#
# HANSHU_TEST_NO_SKIP=1 (set when CI is) makes a test fail that would otherwise be skipped because the machine lacks something.
set -uo pipefail
cd "$(dirname "$0")/.."

root=$PWD
logs=$root/.cache/test
mkdir -p "$logs"
export HANSHU_BIN=$root/bin/hanshu
if [ -n "${CI:-}" ] && [ "$CI" != false ]; then export HANSHU_TEST_NO_SKIP=1; fi

summary=()
failed=0

# suite NAME COMMAND... runs a command, shows and keeps what it prints, and notes how it ended.
suite() {
    local name=$1 log begin=$SECONDS result=ok
    log=$logs/${name//[^A-Za-z0-9]/-}.log
    shift
    printf '\n== %s\n' "$name"
    "$@" 2>&1 | tee "$log"
    if [ "${PIPESTATUS[0]}" -ne 0 ]; then
        result=FAIL
        failed=1
    fi
    summary+=("$(printf '%-4s  %4d s  %s' "$result" $((SECONDS - begin)) "$name")")
}

# node_folder FOLDER runs the tests of a folder with a package.json.
node_folder() {
    cd "$1"
    # npm writes the second file when it has installed what the first one says.
    if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then npm ci --no-progress --loglevel=error || return; fi
    npm test --silent
}
go_sdk() { cd test/huawei-go && go vet ./... && go test -count=1 -timeout 5m -skip TestEveryOperation ./... && go test -count=1 -v -run TestEveryOperation .; }
main() { test/postgres.sh run go test -race -timeout 8m ./...; }

suite "Node SDK (test/node)" node_folder test/node
suite "mincloud and minapp-sdk (test/minapp)" node_folder test/minapp
suite "Go SDK (test/huawei-go)" go_sdk
suite "go test -race ./..." main

printf '\n== summary\n'
printf '%s\n' "${summary[@]}"
awk '/^ok / { ok++ } /^FAIL\t/ { bad++ } /^--- FAIL/ { tests++ }
    END { printf "      packages: %d ok, %d failed; tests failed: %d\n", ok, bad, tests }' "$logs"/go-test*.log
exit "$failed"
