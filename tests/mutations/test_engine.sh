#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Faults against docs/engine.md are noticed.
exec "$(dirname "$0")/plant.sh" engine
