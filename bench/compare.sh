#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a message costs against what it cost at another commit:
#     sh bench/compare.sh COMMIT [ROUNDS]
# That commit's module is built aside, in build/compare, and takes part in each
# round of the benchmark of build/release.
set -eu

cd "$(dirname "$0")/.."
if [ $# -lt 1 ]; then
    echo "usage: sh bench/compare.sh COMMIT [ROUNDS]" >&2
    exit 2
fi
commit=$(git rev-parse --verify "$1^{commit}")
aside=$PWD/build/compare/$commit
mkdir -p "$aside"
git archive "$commit" | tar -x -C "$aside"
cmake -S "$aside" -B "$aside/build" -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$aside/build" --target kms-envelope >/dev/null
exec build/release/bench/envelope_bench "${2:-301}" \
    "$aside/build/kms-envelope.so"
