#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every rule of `make tidy` is broken once in a copy of the tree and must be reported, by file and rule.
. "$(dirname "$0")/../support/shell.sh"
. tests/house/copy_tree.sh
spdx='/* SPDX-License-Identifier: Apache-2.0 */'
: >"$work/expected"

copy_tree "$work/copy"
# plant FILE TEXT FINDING...: a new file, and how its findings begin after its name
plant() {
    local file=$1
    mkdir -p "$work/copy/$(dirname "$file")"
    printf '%s\n' "$2" >"$work/copy/$file"
    shift 2
    for finding in "$@"; do echo "$file$finding" >>"$work/expected"; done
}
# calls FOLDER NAME BODY FINDING: a function that does something it may not do
calls() {
    plant "$1/planted_$2.c" "$spdx
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
extern char *kv_kept;
void kv_planted_$2(char *text);
void kv_planted_$2(char *text)
{
    (void)text;
    $3
}" ": $4"
}
plugin="$spdx
#include \"sim/iface/evict.h\""

# floors
plant sim/base/planted_up.c "$spdx
#include \"sim/engine/heap.h\"" ': includes sim/engine/heap.h from a higher floor'
plant sim/serve/planted_up.c "$spdx
#include \"sim/cli/cli.h\"" ': includes sim/cli/cli.h from a higher floor'
plant sim/out/planted_tests.c "$spdx
#include \"tests/support/radix_heap.h\"" ': includes tests/support/radix_heap.h'
plant sim/attic/planted.h "$spdx" ': lies on no floor'
plant sim/cli/planted_attic.c "$spdx
#include \"sim/attic/planted.h\""
plant tests/oracle/planted.c "$spdx
#include \"sim/serve/blocks.h\"" ': the oracle includes sim/serve/blocks.h'
plant policies/evict/planted_engine.c "$plugin
#include \"sim/engine/engine.h\"
extern const struct kv_evict_ops kv_evict_planted_engine;
const struct kv_evict_ops kv_evict_planted_engine = {.state_bytes = 1};" ': a plug-in includes sim/engine/engine.h'
plant policies/evict/planted_serve.c "$plugin
#include \"sim/serve/blocks.h\"
extern const struct kv_evict_ops kv_evict_planted_serve;
const struct kv_evict_ops kv_evict_planted_serve = {.state_bytes = 1};" \
    ': includes sim/serve/blocks.h from a higher floor'
plant policies/evict/planted_header.h "$spdx"
plant policies/evict/planted_other.c "$plugin
#include \"policies/evict/planted_header.h\"
extern const struct kv_evict_ops kv_evict_planted_other;
const struct kv_evict_ops kv_evict_planted_other = {.state_bytes = 1};" ': a plug-in includes another plug-in'
plant sim/out/planted_calib.c "$spdx
#include \"calib/lib/options.h\"" ': includes calib/lib/options.h from a higher floor'
plant sim/cli/planted_calib.c "$spdx
#include \"calib/lib/options.h\"" ': includes calib/lib/options.h, of a program that measures'
plant calib/lib/planted_cli.c "$spdx
#include \"sim/cli/cli.h\"" ': includes sim/cli/cli.h from a higher floor'

# calls
calls calib/lib calib_malloc 'kv_kept = malloc(9);' 'uses malloc outside sim/base'
calls calib/lib calib_system 'text[0] = system(text) != 0;' 'calls system,'
calls sim/serve malloc 'kv_kept = malloc(9);' 'uses malloc outside sim/base'
calls sim/serve calloc 'kv_kept = calloc(1, 9);' 'uses calloc outside sim/base'
calls sim/serve realloc 'kv_kept = realloc(text, 9);' 'uses realloc outside sim/base'
calls sim/serve free 'free(text);' 'uses free outside sim/base'
calls sim/serve strdup 'kv_kept = strdup(text);' 'uses strdup outside sim/base'
calls sim/out exit 'exit(text[0]);' 'calls exit outside sim/base and sim/cli'
calls sim/out abort 'if (text[0]) abort();' 'calls abort outside sim/base and sim/cli'
calls sim/conf printf 'printf("%d", text[0]);' 'uses printf outside sim/cli'
calls sim/conf puts 'puts(text);' 'uses puts outside sim/cli'
calls sim/conf stdout 'fprintf(stdout, "%d", text[0]);' 'uses stdout outside sim/cli'
calls sim/conf clock 'text[0] = clock() > 9;' 'uses clock outside sim/cli'
calls sim/cli rand 'text[0] = (char)rand();' 'calls rand,'
calls sim/cli time 'text[0] = time(0) > 9;' 'calls time,'
calls sim/cli strtok 'text[0] = strtok(text, "x") == 0;' 'calls strtok,'
calls sim/cli sprintf 'sprintf(text, "%d", text[1]);' 'calls sprintf,'
calls sim/cli setlocale 'setlocale(LC_ALL, text);' 'calls setlocale,'

# symbols
plant sim/lib/planted_name.c "$spdx
int planted_name(void);
int planted_name(void) { return 1; }" ': exports planted_name, which does not begin with kv_'
plant policies/evict/planted_two.c "$plugin
extern const struct kv_evict_ops kv_evict_planted_two;
const struct kv_evict_ops kv_evict_planted_two = {.state_bytes = 1};
extern int kv_second;
int kv_second = 1;" ": exports 'kv_evict_planted_two kv_second', not exactly kv_evict_planted_two"
plant policies/evict/planted_wrong.c "$plugin
extern const struct kv_evict_ops kv_evict_plantde_wrong;
const struct kv_evict_ops kv_evict_plantde_wrong = {.state_bytes = 1};" \
    ": exports 'kv_evict_plantde_wrong', not exactly kv_evict_planted_wrong"

plant calib/lib/planted_name.c "$spdx
int planted_calib_name(void);
int planted_calib_name(void) { return 1; }" ': exports planted_calib_name, which does not begin with kv_'

# of kernels, where make would compile them
[ -z "$(make_there -pn -C "$work/copy" 2>/dev/null | sed -n 's/^CUDA := //p')" ] || plant calib/cuda/planted_kernel.cu "$spdx
extern \"C\" int planted_kernel(void);
extern \"C\" int planted_kernel(void) { return 1; }" ': exports planted_kernel, which does not begin with kv_' \
    ': dead: nothing but tests uses'

# dead files
plant calib/lib/planted_dead.c "$spdx
int kv_planted_dead_calib(void);
int kv_planted_dead_calib(void) { return 1; }" ': dead: nothing but tests uses'
plant sim/lib/planted_dead.c "$spdx
int kv_planted_dead(void);
int kv_planted_dead(void) { return 1; }" ': dead: nothing but tests uses'
plant tests/support/planted_dead.c "$spdx
int kv_planted_dead_too(void);
int kv_planted_dead_too(void) { return 1; }" ': dead: nothing uses'
plant sim/lib/planted_dead.h "$spdx" ': dead: no source includes it'
plant docs/planted.c "$spdx" ': not built'

# text
mark='TO''DO'
wide=$(printf 'x%.0s' {1..119})
plant tests/planted_text.h "/* nothing */
int tab;$(printf '\t')
/* $mark: later */
/*${wide}*/
/* see /ho""me/somebody/notes */" ': no SPDX' ':2: tab' ':3: leftover mark' ':4: line of 123 columns' \
    ':5: path of one machine'
plant tests/planted_fine.sh "#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# $(printf 'x%.0s' {1..118})
cat /usr/share/words /tmp/x >/dev/null"
# What is allowed: printing to a stream one is given.
plant sim/out/planted_fine.c "$spdx
#include <stdio.h>
void kv_planted_fine(FILE *stream);
void kv_planted_fine(FILE *stream) { fprintf(stream, \"fine\"); }"

# A program that measures may print, read clocks and end.
plant calib/lib/planted_fine.c "$spdx
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
double kv_planted_fine_calib(void);
double kv_planted_fine_calib(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now)) exit(1);
    printf(\"fine\");
    return (double)now.tv_sec;
}"

make_there -C "$work/copy" tidy >"$work/found" 2>&1
[ $? = 2 ] || fail "make tidy did not fail"
while read -r expected; do
    grep -qF -- "$expected" "$work/found" || fail "not found: $expected"
done <"$work/expected"
grep -v '^  cc' "$work/found" | grep 'planted_fine' | grep -v 'planted_fine.c: dead' && fail "that was allowed"
[ $failed = 0 ] || { echo "---- tidy said:"; cat "$work/found"; exit 1; }
echo "tidy: $(wc -l <"$work/expected") broken rules, all reported"
