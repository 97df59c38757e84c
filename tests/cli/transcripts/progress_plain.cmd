# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml --progress plain 2>&1 >/dev/null | sed "s/[0-9.]* [kM]ev\/s/N ev\/s/"
