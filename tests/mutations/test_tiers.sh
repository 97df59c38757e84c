#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Faults against docs/tiers.md are noticed.
exec "$(dirname "$0")/plant.sh" tiers
