/* SPDX-License-Identifier: Apache-2.0 */
/* Words of the command line into flags and arguments, by the tables of the commands. Nothing is guessed: no
 * abbreviations, no flag that is silently ignored, no value that is silently cut. */
#include "sim/cli/cli.h"

#include <string.h>

#include "sim/conf/bind.h"

const struct kv_flag kv_common_flags[] = {
    { "help", 'h', KV_FLAG_SWITCH, NULL, "print the help of the command" },
    { "color", 0, KV_FLAG_TEXT, "WHEN", "colour of diagnostics: auto, always or never (NO_COLOR is respected)" },
    { NULL, 0, KV_FLAG_SWITCH, NULL, NULL },
};

#define NAMES_MAX 64

/* Calls visit on every flag of the command, its own first. Returns the first for which it answers true. */
static const struct kv_flag *flag_find(const struct kv_command *command, const char *name, size_t length,
                                       char letter)
{
    const struct kv_flag *table[] = { command->flags, kv_common_flags };
    for (int32_t t = 0; t < 2; t++) {
        for (const struct kv_flag *f = table[t]; f && f->name; f++) {
            if (letter ? f->letter == letter : strlen(f->name) == length && !strncmp(f->name, name, length)) return f;
        }
    }
    return NULL;
}

static const char *flag_nearest(const struct kv_command *command, const char *name)
{
    const char *candidate[NAMES_MAX];
    int32_t count = 0;
    const struct kv_flag *table[] = { command->flags, kv_common_flags };
    for (int32_t t = 0; t < 2; t++) {
        for (const struct kv_flag *f = table[t]; f && f->name && count < NAMES_MAX; f++) candidate[count++] = f->name;
    }
    return kv_suggest(name, candidate, count);
}

/* The typed value of a flag, by the same parser that reads scenarios. */
static bool flag_value(struct kv_args *args, const struct kv_flag *flag, const char *text, struct kv_err *err)
{
    struct kv_flag_value value = { .flag = flag, .text = text };
    struct kv_param param = { .key = flag->name, .dim = flag->kind == KV_FLAG_COUNT ? KV_DIM_COUNT
                                                      : flag->kind == KV_FLAG_TIME ? KV_DIM_TIME : KV_DIM_BYTES };
    const char *why = NULL;
    bool good = true;
    if (flag->kind == KV_FLAG_TIME) {
        good = kv_value_parse(&args->arena, &param, text, &value.seconds, &why);
    } else if (flag->kind == KV_FLAG_COUNT || flag->kind == KV_FLAG_BYTES) {
        good = kv_value_parse(&args->arena, &param, text, &value.number, &why);
    }
    if (good && (value.seconds < 0 || value.number < 0)) {
        good = false;
        why = "must not be negative";
    }
    if (!good) return kv_fail(err, KV_EUSAGE, args->command->name, "--%s %s: %s", flag->name, text, why);
    args->value[args->value_count++] = value;
    return true;
}

/* One word that starts with a dash, `*i` is its place; takes the following word where the flag needs a value. */
static bool flag_take(struct kv_args *args, int32_t count, const char *const *word, int32_t *i, struct kv_err *err)
{
    const struct kv_command *command = args->command;
    const char *name = word[*i], *text = NULL;
    const struct kv_flag *flag;
    if (name[1] == '-') {
        const char *equals = strchr(name, '=');
        size_t length = equals ? (size_t)(equals - name) - 2 : strlen(name) - 2;
        flag = flag_find(command, name + 2, length, 0);
        text = equals ? equals + 1 : NULL;
        if (!flag) {
            const char *near = flag_nearest(command, kv_arena_copy(&args->arena, name + 2, length));
            return kv_fail(err, KV_EUSAGE, command->name, "unknown flag '%.*s'%s%s%s", (int)length + 2, name,
                           near ? "; did you mean '--" : "", near ? near : "", near ? "'?" : "");
        }
    } else {
        flag = flag_find(command, NULL, 0, name[1]);
        if (!flag) return kv_fail(err, KV_EUSAGE, command->name, "unknown flag '%s'", name);
        if (name[2] && flag->kind == KV_FLAG_SWITCH) {
            return kv_fail(err, KV_EUSAGE, command->name, "'%s': write -%c alone", name, name[1]);
        }
        text = name[2] ? name + 2 : NULL;
    }
    if (flag->kind == KV_FLAG_SWITCH && text) {
        return kv_fail(err, KV_EUSAGE, command->name, "--%s takes no value, found '%s'", flag->name, text);
    }
    if (flag->kind != KV_FLAG_SWITCH && !text) {
        if (*i + 1 >= count) return kv_fail(err, KV_EUSAGE, command->name, "--%s needs a value: --%s %s", flag->name,
                                            flag->name, flag->value);
        text = word[++*i];
    }
    if (flag->kind != KV_FLAG_REPEAT && kv_args_has(args, flag->name)) {
        return kv_fail(err, KV_EUSAGE, command->name, "--%s was given twice", flag->name);
    }
    return flag_value(args, flag, text ? text : "", err);
}

bool kv_args_parse(struct kv_args *args, const struct kv_command *command, int32_t count, const char *const *word,
                   struct kv_err *err)
{
    *args = (struct kv_args){ .command = command };
    args->arg = kv_arena_take(&args->arena, ((size_t)count + 1) * sizeof *args->arg);
    args->value = kv_arena_take(&args->arena, ((size_t)count + 1) * sizeof *args->value);
    bool flags = true;
    for (int32_t i = 0; i < count; i++) {
        if (flags && !strcmp(word[i], "--")) {
            flags = false;
        } else if (flags && word[i][0] == '-' && word[i][1]) {
            if (!flag_take(args, count, word, &i, err)) return false;
        } else {
            args->arg[args->arg_count++] = word[i];
        }
    }
    if (kv_args_has(args, "help")) return true;   /* whatever else is missing */
    if (args->arg_count < command->arg_min) {
        return kv_fail(err, KV_EUSAGE, command->name, "missing argument; usage: kvsim %s %s", command->name,
                       command->usage);
    }
    if (command->arg_max >= 0 && args->arg_count > command->arg_max) {
        return kv_fail(err, KV_EUSAGE, command->name, "unexpected argument '%s'; usage: kvsim %s %s",
                       args->arg[command->arg_max], command->name, command->usage);
    }
    return true;
}

void kv_args_close(struct kv_args *args)
{
    kv_arena_close(&args->arena);
}

const struct kv_flag_value *kv_args_nth(const struct kv_args *args, const char *flag, int32_t n)
{
    kv_assert(flag_find(args->command, flag, strlen(flag), 0));   /* a command asks for flags of its own table only */
    for (int32_t i = 0; i < args->value_count; i++) {
        if (!strcmp(args->value[i].flag->name, flag) && n-- == 0) return &args->value[i];
    }
    return NULL;
}

const struct kv_flag_value *kv_args_get(const struct kv_args *args, const char *flag)
{
    return kv_args_nth(args, flag, 0);
}

bool kv_args_has(const struct kv_args *args, const char *flag)
{
    return kv_args_get(args, flag) != NULL;
}

static const struct { const char *alias, *name; } aliases[] = {
    { "validate", "config check" }, { "--version", "version" }, { "-V", "version" },
    { "--help", "help" }, { "-h", "help" },
};

/* True when `name` ("trace info") is the first words; *used gets their number. */
static bool name_matches(const char *name, int32_t count, const char *const *word, int32_t *used)
{
    int32_t n = 0;
    for (const char *at = name; n < count; n++) {
        size_t length = strcspn(at, " ");
        if (strlen(word[n]) != length || strncmp(word[n], at, length)) return false;
        if (!at[length]) {
            *used = n + 1;
            return true;
        }
        at += length + 1;
    }
    return false;
}

/* What was meant: among the second words of a group ("trace inof"), or among all first words. */
static bool not_found(const struct kv_command *const *commands, int32_t count, const char *const *word,
                      struct kv_err *err)
{
    const char *first[NAMES_MAX], *second[NAMES_MAX];
    char text[NAMES_MAX][32], list[512] = "";
    int32_t firsts = 0, seconds = 0;
    for (int32_t c = 0; commands[c] && c < NAMES_MAX; c++) {
        const char *name = commands[c]->name, *space = strchr(name, ' ');
        size_t length = strcspn(name, " ");
        memcpy(text[c], name, length);
        text[c][length] = 0;
        if (!firsts || strcmp(first[firsts - 1], text[c])) first[firsts++] = text[c];
        if (!space || strcmp(text[c], word[0])) continue;
        second[seconds++] = space + 1;
        if (list[0]) strncat(list, ", ", sizeof list - strlen(list) - 1);
        strncat(list, space + 1, sizeof list - strlen(list) - 1);
    }
    if (seconds && count < 2) return kv_fail(err, KV_EUSAGE, word[0], "say which: %s", list);
    const char *found = seconds ? word[1] : word[0];
    const char *near = seconds ? kv_suggest(found, second, seconds) : kv_suggest(found, first, firsts);
    for (size_t a = 0; !seconds && !near && a < sizeof aliases / sizeof *aliases; a++) {
        near = kv_suggest(found, &aliases[a].alias, 1);
    }
    return kv_fail(err, KV_EUSAGE, seconds ? word[0] : "", "unknown command '%s'%s%s%s%s%s", found,
                   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "",
                   seconds ? "; known: " : "", seconds ? list : "");
}

const struct kv_command *kv_command_find(const struct kv_command *const *commands, int32_t count,
                                         const char *const *word, int32_t *used, struct kv_err *err)
{
    for (int32_t c = 0; commands[c]; c++) {
        if (name_matches(commands[c]->name, count, word, used)) return commands[c];
    }
    for (size_t a = 0; a < sizeof aliases / sizeof *aliases; a++) {
        if (strcmp(word[0], aliases[a].alias)) continue;
        for (int32_t c = 0; commands[c]; c++) {
            if (strcmp(commands[c]->name, aliases[a].name)) continue;
            *used = 1;
            return commands[c];
        }
    }
    not_found(commands, count, word, err);
    return NULL;
}
