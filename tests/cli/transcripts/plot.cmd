# SPDX-License-Identifier: Apache-2.0
kvsim plot list
kvsim run tests/cli/small.yaml -q -o $T/a.h5
kvsim plot $T/a.h5 -o $T/a.svg
echo $?
python3 -c "import sys, xml.dom.minidom as m; print(m.parse(sys.argv[1]).documentElement.tagName)" $T/a.svg
kvsim plot $T/a.h5 pie
echo $?
for kind in tokens-by-source util waterfall; do
    kvsim plot $T/a.h5 $kind >$T/b.svg && grep -c "</svg>" $T/b.svg
    kvsim plot $T/a.h5 $kind --csv | cut -d, -f1,2 | sort -u
done
kvsim plot $T/a.h5 waterfall --request 0 --csv
kvsim plot $T/a.h5 waterfall --request 12
kvsim plot $T/a.h5 util --request 0
