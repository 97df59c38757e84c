# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml --set workload.start=1h -o $T/a.h5
