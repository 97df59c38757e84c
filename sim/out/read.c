/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/out/read.h"

#include <errno.h>
#include <hdf5.h>
#include <hdf5_hl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 256

struct kv_h5in { hid_t file, text_type; const char *path; };

struct kv_h5in *kv_h5in_open(const char *path, struct kv_err *err)
{
    struct kv_arena scratch = {0};
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    if (access(path, R_OK)) {
        kv_fail(err, KV_EIO, path, "cannot read: %s", strerror(errno));
        return NULL;
    }
    struct kv_h5in *f = kv_mem_take(sizeof *f);
    f->path = path;
    f->text_type = H5Tcopy(H5T_C_S1);
    H5Tset_size(f->text_type, H5T_VARIABLE);
    H5Tset_cset(f->text_type, H5T_CSET_UTF8);
    f->file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    const char *schema = f->file >= 0 ? kv_h5in_attribute(f, "/", "schema", &scratch) : NULL;
    const char *version = f->file >= 0 ? kv_h5in_attribute(f, "/", "schema_version", &scratch) : NULL;
    bool ok = true;
    if (f->file < 0) ok = kv_fail(err, KV_EIO, path, "is not a readable HDF5 file");
    else if (!schema || strcmp(schema, "kvsim-results")) ok = kv_fail(err, KV_EIO, path, "is not a kvsim results file");
    else if (!version || strncmp(version, "1.", 2)) {
        ok = kv_fail(err, KV_EIO, path, "has schema version %s; this kvsim reads version 1", version ? version : "?");
    }
    if (!ok) {
        kv_h5in_close(f);
        f = NULL;
    }
    kv_arena_close(&scratch);
    return f;
}

void kv_h5in_close(struct kv_h5in *f)
{
    if (!f) return;
    if (f->file >= 0) H5Fclose(f->file);
    H5Tclose(f->text_type);
    kv_mem_give(f, sizeof *f);
}

bool kv_h5in_fail(struct kv_h5in *f, const char *object, struct kv_err *err)
{
    return kv_fail(err, KV_EIO, f->path, "cannot read %s: missing or damaged", object);
}

bool kv_h5in_has(struct kv_h5in *f, const char *path)
{
    char part[256];
    /* HDF5 asks for every step of the way. */
    for (const char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        size_t length = slash ? (size_t)(slash - path) : strlen(path);
        if (length >= sizeof part) return false;
        memcpy(part, path, length);
        part[length] = 0;
        if (H5Lexists(f->file, part, H5P_DEFAULT) <= 0) return false;
        if (!slash) return true;
    }
}

const char *kv_h5in_text(struct kv_h5in *f, const char *path, struct kv_arena *arena)
{
    int32_t count;
    const char **text = kv_h5in_has(f, path) ? kv_h5in_texts(f, path, &count, arena) : NULL;
    return text && count == 1 ? text[0] : NULL;
}

const char *kv_h5in_attribute(struct kv_h5in *f, const char *object, const char *name, struct kv_arena *arena)
{
    char *text = NULL;
    const char *copy = NULL;
    hid_t at = H5Aopen_by_name(f->file, object, name, H5P_DEFAULT, H5P_DEFAULT);
    if (at < 0) return NULL;
    if (H5Aread(at, f->text_type, &text) >= 0 && text) {
        copy = kv_arena_copy(arena, text, strlen(text));
        H5free_memory(text);
    }
    H5Aclose(at);
    return copy;
}

bool kv_h5in_attribute_int(struct kv_h5in *f, const char *object, const char *name, int64_t *value)
{
    hid_t at = H5Aopen_by_name(f->file, object, name, H5P_DEFAULT, H5P_DEFAULT);
    if (at < 0) return false;
    bool ok = H5Aread(at, H5T_NATIVE_INT64, value) >= 0;
    H5Aclose(at);
    return ok;
}

double kv_h5in_attribute_real(struct kv_h5in *f, const char *object, const char *name)
{
    double value = (double)NAN;
    hid_t at = H5Aopen_by_name(f->file, object, name, H5P_DEFAULT, H5P_DEFAULT);
    if (at < 0) return value;
    if (H5Aread(at, H5T_NATIVE_DOUBLE, &value) < 0) value = (double)NAN;
    H5Aclose(at);
    return value;
}

/* ---- columns ---- */

bool kv_h5in_column_open(struct kv_h5in *f, const char *path, struct kv_h5in_column *c, struct kv_err *err)
{
    hsize_t extent[8] = {1, 1};
    hid_t set = H5Dopen2(f->file, path, H5P_DEFAULT);
    if (set < 0) return kv_h5in_fail(f, path, err);
    hid_t space = H5Dget_space(set), type = H5Dget_type(set);
    int rank = H5Sget_simple_extent_ndims(space);
    if (rank <= 2) H5Sget_simple_extent_dims(space, extent, NULL);
    *c = (struct kv_h5in_column){
        .handle = set, .rows = (int64_t)extent[0], .width = rank == 2 ? (int32_t)extent[1] : 1,
        .is_scalar = rank == 0, .is_real = H5Tget_class(type) == H5T_FLOAT, .is_text = H5Tget_class(type) == H5T_STRING,
        .ticks = H5Aexists(set, "scale_factor") > 0, .is_wide = rank == 2, .fills = H5Aexists(set, "_FillValue") > 0,
    };
    H5Tclose(type);
    H5Sclose(space);
    return rank <= 2 || kv_h5in_fail(f, path, err);
}

void kv_h5in_column_close(struct kv_h5in_column *c)
{
    if (c->handle) H5Dclose(c->handle);
    c->handle = 0;
}

static bool column_read(const struct kv_h5in_column *c, int64_t first, int64_t rows, hid_t type, void *value)
{
    if (!rows) return true;
    if (c->is_scalar) return H5Dread(c->handle, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, value) >= 0;
    hid_t space = H5Dget_space(c->handle);
    hsize_t start[2] = {(hsize_t)first, 0}, count[2] = {(hsize_t)rows, (hsize_t)c->width};
    hid_t memory = H5Screate_simple(H5Sget_simple_extent_ndims(space), count, NULL);
    bool ok = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0
              && H5Dread(c->handle, type, memory, space, H5P_DEFAULT, value) >= 0;
    H5Sclose(memory);
    H5Sclose(space);
    return ok;
}

bool kv_h5in_column_ints(const struct kv_h5in_column *c, int64_t first, int64_t rows, int64_t *value)
{
    return column_read(c, first, rows, H5T_NATIVE_INT64, value);
}

bool kv_h5in_column_reals(const struct kv_h5in_column *c, int64_t first, int64_t rows, double *value)
{
    return column_read(c, first, rows, H5T_NATIVE_DOUBLE, value);
}

static void *whole(struct kv_h5in *f, const char *path, hid_t type, int64_t *rows, struct kv_arena *arena,
                   struct kv_err *err)
{
    struct kv_h5in_column c;
    if (!kv_h5in_column_open(f, path, &c, err)) return NULL;
    void *value = kv_arena_take(arena, (size_t)(c.rows * c.width + 1) * 8);
    bool ok = column_read(&c, 0, c.rows, type, value);
    *rows = c.rows;
    kv_h5in_column_close(&c);
    if (!ok) kv_h5in_fail(f, path, err);
    return ok ? value : NULL;
}

int64_t *kv_h5in_ints(struct kv_h5in *f, const char *path, int64_t *rows, struct kv_arena *arena, struct kv_err *err)
{
    return whole(f, path, H5T_NATIVE_INT64, rows, arena, err);
}

double *kv_h5in_reals(struct kv_h5in *f, const char *path, int64_t *rows, struct kv_arena *arena, struct kv_err *err)
{
    return whole(f, path, H5T_NATIVE_DOUBLE, rows, arena, err);
}

const char **kv_h5in_texts(struct kv_h5in *f, const char *path, int32_t *count, struct kv_arena *arena)
{
    const char **text = NULL;
    hid_t set = H5Dopen2(f->file, path, H5P_DEFAULT);
    if (set < 0) return NULL;
    hid_t space = H5Dget_space(set);
    *count = (int32_t)H5Sget_simple_extent_npoints(space);
    char **read = kv_arena_take(arena, ((size_t)*count + 1) * sizeof *read);
    if (H5Dread(set, f->text_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, read) >= 0) {
        text = kv_arena_take(arena, ((size_t)*count + 1) * sizeof *text);
        for (int32_t i = 0; i < *count; i++) text[i] = kv_arena_copy(arena, read[i], strlen(read[i]));
        H5Dvlen_reclaim(f->text_type, space, H5P_DEFAULT, read);
    }
    H5Sclose(space);
    H5Dclose(set);
    return text;
}

/* ---- dimension scales ---- */

/* The first scale that is met: `state` becomes its path. */
static herr_t note_scale(hid_t set, unsigned dimension, hid_t scale, void *state)
{
    char *path = state;
    (void)set;
    (void)dimension;
    return H5Iget_name(scale, path, PATH_BYTES) > 0 ? 1 : -1;
}

const char **kv_h5in_labels(struct kv_h5in *f, const char *path, struct kv_arena *arena)
{
    char scale[PATH_BYTES] = "";
    struct kv_h5in_column c;
    int64_t rows;
    int32_t count;
    hid_t set = H5Dopen2(f->file, path, H5P_DEFAULT);
    if (set < 0) return NULL;
    int found = H5DSiterate_scales(set, 1, NULL, note_scale, scale);
    H5Dclose(set);
    if (found <= 0 || !kv_h5in_column_open(f, scale, &c, NULL)) return NULL;
    kv_h5in_column_close(&c);
    if (c.is_text) return kv_h5in_texts(f, scale, &count, arena);
    const int64_t *number = kv_h5in_ints(f, scale, &rows, arena, NULL);
    const char **label = kv_arena_take(arena, ((size_t)c.rows + 1) * sizeof *label);
    for (int64_t i = 0; number && i < rows; i++) label[i] = kv_arena_text(arena, "%lld", (long long)number[i]);
    return number ? label : NULL;
}

const char **kv_h5in_meanings(struct kv_h5in *f, const char *path, int32_t *count, struct kv_arena *arena)
{
    const char *names = kv_h5in_attribute(f, path, "flag_meanings", arena);
    *count = 0;
    if (!names) return NULL;
    const char **name = kv_arena_take(arena, (strlen(names) + 1) * sizeof *name);
    while (*names) {
        size_t length = strcspn(names, " ");
        name[(*count)++] = kv_arena_copy(arena, names, length);
        names += length + (names[length] == ' ');
    }
    return name;
}

bool kv_h5in_is_scale(struct kv_h5in *f, const char *path)
{
    hid_t set = H5Dopen2(f->file, path, H5P_DEFAULT);
    if (set < 0) return false;
    bool is = H5DSis_scale(set) > 0;
    H5Dclose(set);
    return is;
}

/* ---- groups ---- */

struct members { struct kv_arena *arena; KV_VEC(const char *) name; };

static herr_t add_member(hid_t group, const char *name, const H5L_info_t *info, void *state)
{
    struct members *m = state;
    H5O_info_t object;
    (void)info;
    if (H5Oget_info_by_name2(group, name, &object, H5O_INFO_BASIC, H5P_DEFAULT) >= 0
        && object.type == H5O_TYPE_DATASET) {
        kv_vec_push(&m->name, kv_arena_copy(m->arena, name, strlen(name)));
    }
    return 0;
}

const char **kv_h5in_members(struct kv_h5in *f, const char *group, int32_t *count, struct kv_arena *arena)
{
    struct members m = {.arena = arena};
    hsize_t at = 0;
    if (H5Literate_by_name(f->file, group, H5_INDEX_CRT_ORDER, H5_ITER_INC, &at, add_member, &m, H5P_DEFAULT) < 0) {
        at = 0;   /* a copy made by other tools may have lost the order */
        H5Literate_by_name(f->file, group, H5_INDEX_NAME, H5_ITER_INC, &at, add_member, &m, H5P_DEFAULT);
    }
    const char **name = kv_arena_take(arena, (m.name.count + 1) * sizeof *name);
    if (m.name.count) memcpy(name, m.name.at, m.name.count * sizeof *name);
    *count = (int32_t)m.name.count;
    kv_vec_close(&m.name);
    return name;
}
