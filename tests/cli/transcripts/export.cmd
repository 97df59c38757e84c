# SPDX-License-Identifier: Apache-2.0
kvsim run tests/cli/small.yaml -q -o $T/a.h5
kvsim export $T/a.h5 csv requests | cut -d, -f1-7,9,10
kvsim export $T/a.h5 csv requests -o $T/a.csv
kvsim export $T/a.h5 csv requests | cmp - $T/a.csv && echo the same
kvsim export $T/a.h5 csv requests -o $T/a.csv
kvsim export $T/a.h5 json summary | python3 -m json.tool >/dev/null && echo JSON
kvsim export $T/a.h5 csv tiers | cut -d, -f1-6
kvsim export $T/a.h5 csv links
kvsim export $T/a.h5 csv timeseries | head -1 | tr , '\n' | grep '_hbm$\|util'
kvsim export $T/a.h5 xml
kvsim export $T/nothing.h5 csv
echo $?
