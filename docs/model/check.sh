#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# rows.pml holds as it is, and does not if a rule is left out: README.md.
# What Spin writes goes to a temporary folder.
set -eu

# Fedora has no Spin.
if ! command -v spin >/dev/null && ! command -v apt-get >/dev/null; then
    echo "skipped: there is no spin here"
    exit 0
fi

model=$(cd "$(dirname "$0")" && pwd)/rows.pml
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# verify DEFINE...: how many errors Spin finds.
verify()
{
    spin "$@" -run -safety -DCOLLAPSE -m100000 "$model" >log 2>&1 || {
        cat log
        return 1
    }
    errors=$(sed -n 's/.*errors: \([0-9]*\)$/\1/p' log)
    case $errors in
    '' | *[!0-9]*)
        cat log
        return 1
        ;;
    esac
    echo "$errors"
}

[ "$(verify)" = 0 ] || {
    cat log
    echo "the model does not hold"
    exit 1
}
grep 'states, stored' log
if grep -q 'Search not completed' log; then
    echo "the search was not complete"
    exit 1
fi
for rule in NO_COMPARE NO_CENSUS NO_FENCE EARLY; do
    [ "$(verify -D$rule)" = 1 ] || {
        cat log
        echo "without the rule of $rule nothing is lost: the model is too weak"
        exit 1
    }
    echo "$rule: $(sed -n 's/^pan:1: \(.*\) (at depth.*/\1/p' log)"
done
