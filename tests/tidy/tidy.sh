#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The rules of the house (ARCHITECTURE.md), checked on what the compiler really saw: floors in the dependency files,
# calls in the symbol tables; the rest in the text. Each rule is itself tested by tests/house/test_tidy.sh.
#   tests/tidy/tidy.sh BUILD_FOLDER      objects of all sources must be up to date there (`make tidy`)
set -u
cd "$(dirname "$0")/../.."
export LC_ALL=C
build=${1:-build/release}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/found"

say() { echo "$*" >>"$work/found"; }
files() { find sim models policies traces calib tests analysis configs docs .ci Makefile ./*.md -type f \
              ! -path '*/__pycache__/*' "$@" 2>/dev/null | sort; }

# Programs that measure are left out where their package is not there (make says which), and their tests with them.
left_out=$(for name in ${CALIB_LEFT_OUT:-}; do printf '^calib/%s/|^tests/calib/%s/|' "$name" "$name"; done)
sources=$(files \( -name '*.c' -o -name '*.cu' \) | grep -vE "${left_out}^$")
# Of each source its object and what the compiler saw; objects of .cu files are the same in all flavours.
echo "$sources" | awk -v b="$build" -v cuda="$(dirname "$build")/cuda" '
    { stem = (/\.cu$/ ? cuda : b) "/" $0; sub(/\.cu?$/, "", stem); print $0, stem ".o", stem ".d" }' >"$work/all"
while read -r s object dep; do
    if [ -e "$object" ]; then echo "$s $object" >>"$work/built"
    else say "$s: not built: no rule of the Makefile finds it"; fi
    [ ! -e "$dep" ] || echo "$dep" >>"$work/deps"
done <"$work/all"
deps() { xargs cat <"$work/deps"; }
product=$(echo "$sources" | grep -v '^tests/')

# One table of all symbols: SOURCE TYPE NAME, type U = undefined, capital = exported.
cut -d' ' -f2 "$work/built" | xargs nm -A -P | awk '
    NR == FNR { source[$2 ":"] = $1; next }
    { print source[$1], $3, $2 }' "$work/built" - >"$work/symbols"

# --- floors: whatever a file includes, directly or not, lies on its own floor or below ---
deps | awk '
    BEGIN { n = split("base lib engine conf iface PLUGIN plug scenario serve out calib cli", name, " ")
            for (i = 1; i <= n; i++) floor[name[i]] = i }
    function place(path,   part) {
        split(path, part, "/")
        if (path ~ /^sim\/plug\./) return "plug"
        if (part[1] == "calib") return "calib"
        return part[1] == "sim" ? part[2] : part[1] ~ /^(models|policies|traces)$/ ? "PLUGIN" : ""
    }
    { gsub(/\\/, ""); for (i = 1; i <= NF; i++) {
        if ($i ~ /\.o:$/) { source = ""; continue }
        if ($i ~ /:$/ && i == NF) continue
        if ($i ~ /\.cu?$/) { if (source == "") source = $i; continue }
        if ($i !~ /^(sim|models|policies|traces|calib|tests)\//) continue
        mine = place(source); its = place($i)
        if (source ~ /^tests\/oracle\// && $i ~ /^sim\/serve\//) print source ": the oracle includes " $i
        if (source ~ /^tests\//) continue
        if ($i ~ /^tests\//) print source ": includes " $i
        else if (!(its in floor)) print $i ": lies on no floor"
        else if (floor[its] > floor[mine]) print source ": includes " $i " from a higher floor"
        else if (its == "calib" && mine != "calib") print source ": includes " $i ", of a program that measures"
        else if (mine == "PLUGIN" && its == "engine") print source ": a plug-in includes " $i
        else if (mine == "PLUGIN" && its == "PLUGIN") print source ": a plug-in includes another plug-in, " $i
    } }' | sort -u >>"$work/found"

# --- calls that only some floors may make (calib: programs of their own, as free as sim/cli) ---
awk '
    BEGIN {
        split("malloc calloc realloc free aligned_alloc posix_memalign reallocarray strdup strndup", a, " ")
        for (i in a) base_only[a[i]] = 1
        split("rand srand rand_r random srandom drand48 time strtok sprintf vsprintf setlocale gets strcpy strcat " \
              "__assert_fail system", b, " ")
        for (i in b) nowhere[b[i]] = 1
        split("exit _exit _Exit abort quick_exit", c, " ")
        for (i in c) base_and_cli[c[i]] = 1
        split("printf puts putchar vprintf stdout clock clock_gettime gettimeofday localtime gmtime", d, " ")
        for (i in d) cli_only[d[i]] = 1
    }
    $2 == "U" && $1 !~ /^tests\// {
        base = $1 ~ /^sim\/base\//; cli = $1 ~ /^(sim\/cli|calib)\//
        if ($3 in nowhere) print $1 ": calls " $3 ", which nothing may call"
        if ($3 in base_only && !base) print $1 ": uses " $3 " outside sim/base (see sim/base/arena.h)"
        if ($3 in base_and_cli && !base && !cli) print $1 ": calls " $3 " outside sim/base and sim/cli"
        if ($3 in cli_only && !cli) print $1 ": uses " $3 " outside sim/cli"
    }' "$work/symbols" >>"$work/found"

# --- names with linkage, and the one symbol of a plug-in ---
awk '$2 ~ /^[TDBRVWC]$/ && $1 !~ /^tests\// && $3 !~ /^kv_/ && $3 !~ /^DW\.ref\./ && $1 !~ /^(sim\/cli|calib\/[a-z0-9_]*)\/main.c$/ {
         print $1 ": exports " $3 ", which does not begin with kv_" }' "$work/symbols" >>"$work/found"
echo "$product" | grep -v '^sim/\|^calib/' | awk '
    NR == FNR { if ($2 ~ /^[TDBRVWC]$/) exported[$1] = exported[$1] (exported[$1] ? " " : "") $3; next }
    {
        n = split($0, part, "/"); sub(/\.c$/, "", part[n])
        wanted = "kv_" part[n - 1] "_" part[n]
        if (exported[$0] != wanted) print $0 ": exports \x27" exported[$0] "\x27, not exactly " wanted
    }' "$work/symbols" - >>"$work/found"

# --- files that nobody uses ---
awk '
    # A test that includes a source to reach its insides owns none of it.
    $2 ~ /^[TDBRVWC]$/ { if (!($3 in owner) || owner[$3] ~ /^tests\//) owner[$3] = $1; owners[$1] = 1 }
    $2 == "U"          { uses[$1, $3] = 1; asked[$3] = asked[$3] " " $1 }
    END {
        for (symbol in asked) if (symbol in owner) {
            n = split(asked[symbol], by, " ")
            for (i = 1; i <= n; i++) {
                counts = by[i] !~ /^tests\// || owner[symbol] ~ /^tests\//
                if (by[i] != owner[symbol] && counts) used[owner[symbol]] = 1
            }
        }
        for (s in owners) if (!(s in used) && s !~ /^(sim\/cli|calib\/[a-z0-9_]*)\/main.c$/ && s !~ /\/(test|slow|bench)_[^\/]*$/)
            print s ": dead: " (s ~ /^tests\// ? "nothing" : "nothing but tests") " uses what it exports"
    }' "$work/symbols" >>"$work/found"
deps | tr ' \\' '\n\n' | grep '\.h$' | sort -u >"$work/included"
files -name '*.h' | grep -vE "${left_out}^$" | grep -vxFf "$work/included" |
    sed 's/$/: dead: no source includes it/' >>"$work/found"

# --- text ---
text=$(files \( -name '*.[ch]' -o -name '*.cu' -o -name '*.sh' -o -name '*.py' -o -path '.ci/run' \))
# Words are put together here so that this file does not find itself.
left='TO''DO|FIX''ME|XX''X'
awk -v left="(^|[^A-Za-z0-9_])($left)([^A-Za-z0-9_]|$)" '
    function end_file() { if (name != "" && !licensed) print name ": no SPDX line" }
    FNR == 1 { end_file(); name = FILENAME; licensed = 0 }
    FNR <= 3 && /SPDX-License-Identifier: Apache-2.0/ { licensed = 1 }
    $0 ~ left { print FILENAME ":" FNR ": leftover mark" }
    /\t/ && FILENAME !~ /\.sh$/ { print FILENAME ":" FNR ": tab" }
    END { end_file() }' $text >>"$work/found"
find $text -empty | sed 's/$/: no SPDX line/' >>"$work/found"
# Not of scripts: addresses and checksums cannot be broken.
LC_ALL=C.UTF-8 awk 'length > 120 { print FILENAME ":" FNR ": line of " length " columns; 120 is the most" }' \
    $(echo "$text" | grep '\.[ch]u\?$\|\.py$') >>"$work/found"
# A folder of somebody's machine; device files and system programs are fine.
files ! -name '*.gz' ! -name '*.svg' | tr '\n' '\0' | xargs -0 grep -nHIE \
    '(^|[^A-Za-z0-9_.$}/~-])/(home|root|work|workspace|Users|mnt|data|srv)/[A-Za-z0-9_.-]' /dev/null |
    sed 's/:\([0-9]*\):.*/:\1: path of one machine/' >>"$work/found"

if [ -s "$work/found" ]; then
    sort -u "$work/found"
    echo "tidy: $(sort -u "$work/found" | wc -l) findings"
    exit 1
fi
echo "tidy: $(echo "$sources" | wc -l) sources keep the rules of the house"
