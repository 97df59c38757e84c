#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Compares kvsim with real fetches from a real S3 server over a capped link, on this machine (docs/validation.md).
#   tests/validate/validate.sh [--smoke] [--part first-bytes|gets|layers ...] [--runs N] [--csv FILE]
# KVSIM and PYTHON from the environment. Exit code 0 only when every figure is within its bar; 77 without root, without
# the packages of `.ci/deps.sh storage`, or in a kernel without network namespaces, veth and HTB.
set -u
cd "$(dirname "$0")/../.."
export LC_ALL=C
[ "$(id -u)" = 0 ] || { echo "SKIP: the test bed needs root (network namespaces)"; exit 77; }
exec "${PYTHON:-/usr/bin/python3}" tests/validate/validate.py --programs "$(dirname "$(realpath "${KVSIM:-./kvsim}")")" "$@"
