/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/out/h5.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <hdf5_hl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/base/arena.h"
#include "sim/base/sha256.h"

/* Columns go to the file as they lie in memory. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "kvsim writes little-endian columns directly");

struct kv_h5_column {
    struct kv_h5 *f;
    struct kv_h5_column_spec spec;
    struct kv_h5_column *next;
    hid_t dataset;
    size_t row_bytes;
    int64_t rows;                    /* extent so far */
    KV_VEC(struct kv_print) leaf;    /* one a chunk */
    /* Many columns are one value for long stretches (nobody preempted, nothing fetched): such a chunk is packed
     * once. constant_bytes 0: none met yet. */
    struct { unsigned char value[8]; const void *packed; size_t packed_bytes; struct kv_print print; } constant;
};

struct kv_h5 {
    struct kv_arena arena;
    struct kv_err err;               /* the first failure */
    const char *path, *temporary;
    bool force, undigested, committed;
    hid_t file, text_type, group_plist, transfer_plist;
    struct { const char *path; hid_t id; } held;   /* the object used last: most are given a few attributes in a row */
    struct kv_pack *pack;
    size_t pack_bytes;
    enum kv_codec codec;
    struct kv_h5_column *columns;
    KV_VEC(const char *) line;       /* of the digest */
};

/* ---- errors ---- */

/* HDF5 says the errno of a failed write only inside a sentence on its error stack. */
static herr_t find_errno(unsigned n, const H5E_error2_t *entry, void *found)
{
    (void)n;
    const char *at = entry->desc ? strstr(entry->desc, "errno = ") : NULL;
    if (at) *(int *)found = (int)strtol(at + strlen("errno = "), NULL, 10);
    return 0;
}

/* To be called before any other function of HDF5: each clears its error stack. */
static void broke(struct kv_h5 *f, const char *doing, const char *object)
{
    if (f->err.code) return;
    int number = 0;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, find_errno, &number);
    if (number == ENOSPC || number == EDQUOT) {
        kv_fail(&f->err, KV_EIO, f->path, "the disk is full (%s); no results file was left", strerror(number));
    } else if (number) {
        kv_fail(&f->err, KV_EIO, f->path, "cannot write: %s; no results file was left", strerror(number));
    } else {
        kv_fail(&f->err, KV_EIO, f->path, "HDF5 failed %s %s", doing, object);
    }
}

bool kv_h5_ok(const struct kv_h5 *f, struct kv_err *err)
{
    if (!f->err.code) return true;
    if (err) *err = f->err;
    return false;
}

/* ---- digest ---- */

static void sha256_of(const void *data, size_t bytes, char hex[65])
{
    struct kv_sha256 hash;
    kv_sha256_open(&hash);
    kv_sha256_add(&hash, data, bytes);
    kv_sha256_hex(&hash, hex);
    kv_sha256_close(&hash);
}

/* One line an object or attribute: KIND PATH TYPE SHAPE HASH; docs/results.md has the rule. */
static void digest_add(struct kv_h5 *f, char kind, const char *path, const char *name, const char *type,
                       const char *shape, const void *data, size_t bytes)
{
    if (f->undigested) return;
    char hash[65];
    sha256_of(data, bytes, hash);
    kv_vec_push(&f->line, kv_arena_text(&f->arena, "%c %s%s%s %s %s %s\n", kind, path, *name ? "@" : "", name, type,
                                        shape, hash));
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void digest_end(struct kv_h5 *f, char hex[65])
{
    qsort(f->line.at, f->line.count, sizeof *f->line.at, by_bytes);
    struct kv_sha256 hash;
    kv_sha256_open(&hash);
    for (size_t i = 0; i < f->line.count; i++) kv_sha256_add(&hash, f->line.at[i], strlen(f->line.at[i]));
    kv_sha256_hex(&hash, hex);
    kv_sha256_close(&hash);
}

/* ---- file ---- */

static bool path_is_free(const char *path, bool force, struct kv_err *err)
{
    struct stat found;
    if (stat(path, &found)) return true;
    if (!S_ISREG(found.st_mode)) return kv_fail(err, KV_EIO, path, "is not a plain file; results do not go there");
    if (!force) return kv_fail(err, KV_EIO, path, "exists already; --force overwrites it");
    return true;
}

struct kv_h5 *kv_h5_create(const char *path, bool force, enum kv_codec codec, struct kv_err *err)
{
    if (!path_is_free(path, force, err)) return NULL;
    /* HDF5 1.10 cannot close a file whose last writes fail, and crashes over it at exit. So nothing of it runs at
     * exit (every file is closed by then), and a broken file is left alone (kv_h5_close). */
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    struct kv_h5 *f = kv_mem_take(sizeof *f);
    f->path = kv_arena_text(&f->arena, "%s", path);
    f->temporary = kv_arena_text(&f->arena, "%s.tmp", path);
    f->force = force;
    f->codec = codec;

    /* Format 1.8: new-style groups, readable by every HDF5 since 2008. Strong: closing the file closes all of it,
     * also after an error. */
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), create = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18);
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    H5Pset_obj_track_times(create, false);
    H5Pset_link_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    f->file = H5Fcreate(f->temporary, H5F_ACC_TRUNC, create, access);
    if (f->file < 0) broke(f, "creating", f->temporary);
    H5Pclose(access);
    H5Pclose(create);

    f->group_plist = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_obj_track_times(f->group_plist, false);
    H5Pset_link_creation_order(f->group_plist, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    /* HDF5 clears two conversion buffers of 1 MiB for every text unless told otherwise. */
    f->transfer_plist = H5Pcreate(H5P_DATASET_XFER);
    H5Pset_buffer(f->transfer_plist, 4096, NULL, NULL);
    f->text_type = H5Tcopy(H5T_C_S1);
    H5Tset_size(f->text_type, H5T_VARIABLE);
    H5Tset_cset(f->text_type, H5T_CSET_UTF8);
    if (!kv_h5_ok(f, err)) {
        kv_h5_close(f);
        return NULL;
    }
    return f;
}

/* ---- the object at hand ---- */

static void let_go(struct kv_h5 *f)
{
    const char *path = f->held.path;
    f->held.path = NULL;
    if (path && H5Oclose(f->held.id) < 0) broke(f, "closing", path);
}

static void hold(struct kv_h5 *f, const char *path, hid_t id)
{
    let_go(f);
    if (id < 0) return;
    f->held.path = kv_arena_text(&f->arena, "%s", path);
    f->held.id = id;
}

/* Held until another object is asked for; negative when there is none. */
static hid_t object(struct kv_h5 *f, const char *path)
{
    if (f->held.path && strcmp(f->held.path, path) == 0) return f->held.id;
    hid_t id = H5Oopen(f->file, path, H5P_DEFAULT);
    hold(f, path, id);
    return id;
}

/* ---- the end of a file ---- */

static bool make_durable(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0) return false;
    bool ok = fsync(fd) == 0;
    return close(fd) == 0 && ok;
}

static const char *folder_of(struct kv_h5 *f)
{
    const char *slash = strrchr(f->path, '/');
    if (!slash) return ".";
    return slash == f->path ? "/" : kv_arena_copy(&f->arena, f->path, (size_t)(slash - f->path));
}

bool kv_h5_commit(struct kv_h5 *f, char digest[65], struct kv_err *err)
{
    for (struct kv_h5_column *c = f->columns; c; c = c->next) kv_h5_column_close(c);
    digest_end(f, digest);
    kv_h5_undigested(f, true);
    kv_h5_attribute_text(f, "/meta", "content_sha256", digest);
    if (!f->err.code) {
        let_go(f);
        hid_t file = f->file;
        if (!f->err.code) f->file = -1;
        if (!f->err.code && H5Fclose(file) < 0) broke(f, "closing", f->temporary);
    }
    if (!f->err.code && !make_durable(f->temporary, O_RDWR)) {
        kv_fail(&f->err, KV_EIO, f->path, "cannot make the file durable: %s", strerror(errno));
    }
    if (!f->err.code && path_is_free(f->path, f->force, &f->err)) {
        if (rename(f->temporary, f->path)) {
            kv_fail(&f->err, KV_EIO, f->path, "cannot give the file its name: %s", strerror(errno));
        } else {
            f->committed = true;
            /* Some file systems cannot sync a folder; the file itself is safe. */
            make_durable(folder_of(f), O_RDONLY);
        }
    }
    return kv_h5_ok(f, err);
}

void kv_h5_close(struct kv_h5 *f)
{
    if (!f) return;
    bool whole = !f->err.code;
    for (struct kv_h5_column *c = f->columns; c; c = c->next) {
        if (c->dataset >= 0 && whole) H5Dclose(c->dataset);
        kv_vec_close(&c->leaf);
    }
    if (f->file >= 0 && whole) {
        let_go(f);
        H5Fclose(f->file);
    }
    H5Tclose(f->text_type);
    H5Pclose(f->group_plist);
    H5Pclose(f->transfer_plist);
    if (!f->committed) unlink(f->temporary);
    kv_pack_close(f->pack);
    kv_vec_close(&f->line);
    kv_arena_close(&f->arena);
    kv_mem_give(f, sizeof *f);
}

const char *kv_h5_codec(const struct kv_h5 *f)
{
    return f->pack ? kv_pack_codec(f->pack) : "none";
}

/* ---- groups, links, attributes ---- */

void kv_h5_group(struct kv_h5 *f, const char *path)
{
    if (f->err.code) return;
    hid_t group = H5Gcreate2(f->file, path, H5P_DEFAULT, f->group_plist, H5P_DEFAULT);
    if (group < 0 || H5Gclose(group) < 0) broke(f, "making group", path);
    digest_add(f, 'G', path, "", "-", "-", "", 0);
}

void kv_h5_link(struct kv_h5 *f, const char *object, const char *name)
{
    if (f->err.code) return;
    if (H5Lcreate_hard(f->file, object, f->file, name, H5P_DEFAULT, H5P_DEFAULT) < 0) broke(f, "linking", name);
}

void kv_h5_undigested(struct kv_h5 *f, bool yes)
{
    f->undigested = yes;
}

static void attribute(struct kv_h5 *f, const char *path, const char *name, hid_t type, hsize_t count, const void *data)
{
    if (f->err.code) return;
    hid_t at = object(f, path);
    hid_t space = count ? H5Screate_simple(1, &count, NULL) : H5Screate(H5S_SCALAR);
    hid_t made = H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (made < 0 || H5Awrite(made, type, data) < 0) broke(f, "writing attribute of", path);
    if (made >= 0) H5Aclose(made);
    if (space >= 0) H5Sclose(space);
}

void kv_h5_attribute_text(struct kv_h5 *f, const char *object, const char *name, const char *text)
{
    attribute(f, object, name, f->text_type, 0, &text);
    digest_add(f, 'A', object, name, "utf8", "-", text, strlen(text));
}

/* Texts, one after the other, each ended by a zero byte. */
static void digest_texts(struct kv_h5 *f, char kind, const char *path, const char *name, const char *const *text,
                         int32_t count)
{
    char *all = kv_arena_text(&f->arena, "%s", "");
    size_t bytes = 0, at = 0;
    for (int32_t i = 0; i < count; i++) bytes += strlen(text[i]) + 1;
    if (bytes) all = kv_arena_take(&f->arena, bytes);
    for (int32_t i = 0; i < count; at += strlen(text[i]) + 1, i++) memcpy(all + at, text[i], strlen(text[i]));
    digest_add(f, kind, path, name, "utf8", kv_arena_text(&f->arena, "%d", (int)count), all, bytes);
}

void kv_h5_attribute_texts(struct kv_h5 *f, const char *object, const char *name, const char *const *text,
                           int32_t count)
{
    attribute(f, object, name, f->text_type, (hsize_t)count, text);
    digest_texts(f, 'A', object, name, text, count);
}

void kv_h5_attribute_int(struct kv_h5 *f, const char *object, const char *name, int64_t value)
{
    attribute(f, object, name, H5T_STD_I64LE, 0, &value);
    digest_add(f, 'A', object, name, "<i8", "-", &value, sizeof value);
}

void kv_h5_attribute_real(struct kv_h5 *f, const char *object, const char *name, double value)
{
    attribute(f, object, name, H5T_IEEE_F64LE, 0, &value);
    digest_add(f, 'A', object, name, "<f8", "-", &value, sizeof value);
}

/* ---- small datasets ---- */

static hid_t dataset_plist(void)
{
    hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(plist, false);
    return plist;
}

static void small(struct kv_h5 *f, const char *path, hid_t type, int32_t count, const void *data)
{
    if (f->err.code) return;
    hsize_t rows = (hsize_t)count;
    hid_t plist = dataset_plist(), space = count >= 0 ? H5Screate_simple(1, &rows, NULL) : H5Screate(H5S_SCALAR);
    if (count < 0) H5Pset_layout(plist, H5D_COMPACT);
    hid_t made = H5Dcreate2(f->file, path, type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    if (made < 0 || H5Dwrite(made, type, H5S_ALL, H5S_ALL, f->transfer_plist, data) < 0) broke(f, "writing", path);
    hold(f, path, made);
    H5Sclose(space);
    H5Pclose(plist);
}

static void describe(struct kv_h5 *f, const char *path, const char *long_name, const char *units)
{
    kv_h5_attribute_text(f, path, "long_name", long_name);
    if (units) kv_h5_attribute_text(f, path, "units", units);
}

void kv_h5_text(struct kv_h5 *f, const char *path, const char *long_name, const char *text)
{
    small(f, path, f->text_type, -1, &text);
    digest_add(f, 'D', path, "", "utf8", "-", text, strlen(text));
    describe(f, path, long_name, NULL);
}

void kv_h5_texts(struct kv_h5 *f, const char *path, const char *long_name, const char *const *text, int32_t count)
{
    small(f, path, f->text_type, count, text);
    digest_texts(f, 'D', path, "", text, count);
    describe(f, path, long_name, NULL);
}

void kv_h5_int(struct kv_h5 *f, const char *path, const char *long_name, const char *units, int64_t value)
{
    small(f, path, H5T_STD_I64LE, -1, &value);
    digest_add(f, 'D', path, "", "<i8", "-", &value, sizeof value);
    describe(f, path, long_name, units);
}

void kv_h5_real(struct kv_h5 *f, const char *path, const char *long_name, const char *units, double value)
{
    small(f, path, H5T_IEEE_F64LE, -1, &value);
    digest_add(f, 'D', path, "", "<f8", "-", &value, sizeof value);
    describe(f, path, long_name, units);
}

/* ---- columns ---- */

/* HDF5's type handles are run-time values, so this cannot be a table. */
static hid_t type_id(enum kv_h5_type type)
{
    switch (type) {
    case KV_U8: return H5T_STD_U8LE;
    case KV_U16: return H5T_STD_U16LE;
    case KV_U32: return H5T_STD_U32LE;
    case KV_I32: return H5T_STD_I32LE;
    case KV_I64: return H5T_STD_I64LE;
    case KV_F64: return H5T_IEEE_F64LE;
    }
    return -1;
}

static const struct { const char *numpy; size_t bytes; } types[] = {
    [KV_U8] = {"|u1", 1}, [KV_U16] = {"<u2", 2}, [KV_U32] = {"<u4", 4},
    [KV_I32] = {"<i4", 4}, [KV_I64] = {"<i8", 8}, [KV_F64] = {"<f8", 8},
};

size_t kv_h5_type_bytes(enum kv_h5_type type)
{
    return types[type].bytes;
}

/* "0=finished 1=rejected" as CF's flag_values (of the column's own type) and flag_meanings. */
static void describe_flags(struct kv_h5 *f, const struct kv_h5_column_spec *spec)
{
    unsigned char values[256 * 8];
    const char *meanings = "";
    size_t count = 0, width = types[spec->type].bytes;
    for (const char *at = spec->flags; *at && count < 256; count++) {
        char *name;
        int64_t value = strtoll(at, &name, 10);
        memcpy(values + count * width, &value, width);
        size_t length = strcspn(++name, " ");
        meanings = kv_arena_text(&f->arena, "%s%s%.*s", meanings, count ? " " : "", (int)length, name);
        at = name + length + (name[length] == ' ');
    }
    attribute(f, spec->path, "flag_values", type_id(spec->type), count, values);
    digest_add(f, 'A', spec->path, "flag_values", types[spec->type].numpy, kv_arena_text(&f->arena, "%zu", count),
               values, count * width);
    kv_h5_attribute_text(f, spec->path, "flag_meanings", meanings);
}

static void describe_fill(struct kv_h5 *f, const struct kv_h5_column_spec *spec)
{
    int64_t none = -1;
    double nothing = (double)NAN;
    const void *value = spec->type == KV_F64 ? (const void *)&nothing : (const void *)&none;
    attribute(f, spec->path, "_FillValue", type_id(spec->type), 0, value);
    digest_add(f, 'A', spec->path, "_FillValue", types[spec->type].numpy, "-", value, types[spec->type].bytes);
}

static hid_t column_create(struct kv_h5 *f, const struct kv_h5_column_spec *spec)
{
    hsize_t chunk[2] = {(hsize_t)spec->chunk_rows, (hsize_t)spec->width};
    hsize_t now[2] = {0, (hsize_t)spec->width}, most[2] = {H5S_UNLIMITED, (hsize_t)spec->width};
    int rank = spec->width ? 2 : 1;
    hid_t plist = dataset_plist(), space = H5Screate_simple(rank, now, most);
    H5Pset_chunk(plist, rank, chunk);
    H5Pset_shuffle(plist);
    H5Pset_deflate(plist, 1);
    H5Pset_fill_time(plist, H5D_FILL_TIME_NEVER);
    hid_t made = H5Dcreate2(f->file, spec->path, type_id(spec->type), space, H5P_DEFAULT, plist, H5P_DEFAULT);
    if (made < 0) broke(f, "making dataset", spec->path);
    H5Sclose(space);
    H5Pclose(plist);
    return made;
}

struct kv_h5_column *kv_h5_column_open(struct kv_h5 *f, const struct kv_h5_column_spec *spec)
{
    struct kv_h5_column *c = kv_arena_take(&f->arena, sizeof *c);
    *c = (struct kv_h5_column){.f = f, .spec = *spec, .dataset = -1, .next = f->columns};
    f->columns = c;
    if (!c->spec.chunk_rows) c->spec.chunk_rows = KV_H5_CHUNK_ROWS;
    c->row_bytes = types[spec->type].bytes * (size_t)(spec->width ? spec->width : 1);
    if (f->err.code) return c;
    c->dataset = column_create(f, &c->spec);
    if (c->dataset < 0) return c;
    H5Iinc_ref(c->dataset);
    hold(f, spec->path, c->dataset);
    describe(f, spec->path, spec->long_name, spec->ticks ? "s" : spec->units);
    if (spec->ticks) kv_h5_attribute_real(f, spec->path, "scale_factor", KV_H5_TICK_S);
    if (spec->fills) describe_fill(f, spec);
    if (spec->flags) describe_flags(f, spec);
    return c;
}

static const void *pack(struct kv_h5_column *c, const void *data, size_t *packed_bytes)
{
    struct kv_h5 *f = c->f;
    size_t width = types[c->spec.type].bytes, bytes = c->row_bytes * (size_t)c->spec.chunk_rows;
    if (bytes > f->pack_bytes) {
        kv_pack_close(f->pack);
        f->pack = kv_pack_open(f->codec, bytes);
        f->pack_bytes = bytes;
    }
    return kv_pack_chunk(f->pack, data, bytes / width, width, packed_bytes);
}

/* Packed form and print of a full chunk, from memory when the last constant chunk had the same value. */
static const void *pack_full(struct kv_h5_column *c, const void *data, size_t *packed_bytes, struct kv_print *print)
{
    size_t width = types[c->spec.type].bytes, bytes = c->row_bytes * (size_t)c->spec.chunk_rows;
    bool constant = bytes > width && !memcmp(data, (const char *)data + width, bytes - width);
    if (constant && c->constant.packed && !memcmp(data, c->constant.value, width)) {
        *packed_bytes = c->constant.packed_bytes;
        *print = c->constant.print;
        return c->constant.packed;
    }
    *print = kv_print_of(data, bytes);
    const void *packed = pack(c, data, packed_bytes);
    if (constant) {
        memcpy(c->constant.value, data, width);
        c->constant.packed = kv_arena_copy(&c->f->arena, packed, *packed_bytes);
        c->constant.packed_bytes = *packed_bytes;
        c->constant.print = *print;
    }
    return packed;
}

void kv_h5_column_write(struct kv_h5_column *c, int64_t chunk, const void *data, int32_t rows)
{
    struct kv_h5 *f = c->f;
    if (f->err.code) return;
    struct kv_print print;
    size_t packed_bytes;
    const void *packed;
    if (rows == c->spec.chunk_rows) {
        packed = pack_full(c, data, &packed_bytes, &print);
    } else {
        print = kv_print_of(data, c->row_bytes * (size_t)rows);
        packed = pack(c, data, &packed_bytes);
    }
    while (c->leaf.count <= (size_t)chunk) kv_vec_push(&c->leaf, ((struct kv_print){0, 0}));
    c->leaf.at[chunk] = print;

    /* Never shrunk: HDF5 would unpack and rewrite the chunk at the new edge. */
    int64_t first = chunk * c->spec.chunk_rows;
    if (first + rows > c->rows) {
        c->rows = first + rows;
        hsize_t extent[2] = {(hsize_t)c->rows, (hsize_t)c->spec.width};
        if (H5Dset_extent(c->dataset, extent) < 0) broke(f, "growing", c->spec.path);
    }
    hsize_t at[2] = {(hsize_t)first, 0};
    if (!f->err.code && H5Dwrite_chunk(c->dataset, H5P_DEFAULT, 0, at, packed_bytes, packed) < 0) {
        broke(f, "writing", c->spec.path);
    }
}

void kv_h5_column_close(struct kv_h5_column *c)
{
    struct kv_h5 *f = c->f;
    if (c->dataset < 0) return;
    if (H5Dclose(c->dataset) < 0) broke(f, "closing", c->spec.path);
    c->dataset = -1;
    char shape[64];
    snprintf(shape, sizeof shape, c->spec.width ? "%lld,%d" : "%lld", (long long)c->rows, (int)c->spec.width);
    digest_add(f, 'D', c->spec.path, "", types[c->spec.type].numpy, shape, c->leaf.at,
               c->leaf.count * sizeof *c->leaf.at);
}

void kv_h5_column_all(struct kv_h5 *f, const struct kv_h5_column_spec *spec, const void *data, int64_t rows)
{
    struct kv_h5_column *c = kv_h5_column_open(f, spec);
    int64_t chunk_rows = c->spec.chunk_rows;
    size_t chunk_bytes = c->row_bytes * (size_t)chunk_rows;
    const char *at = data;
    for (int64_t done = 0, chunk = 0; done < rows; done += chunk_rows, chunk++, at += chunk_bytes) {
        if (rows - done >= chunk_rows) {
            kv_h5_column_write(c, chunk, at, (int32_t)chunk_rows);
        } else {
            void *last = kv_mem_take(chunk_bytes);
            memcpy(last, at, c->row_bytes * (size_t)(rows - done));
            kv_h5_column_write(c, chunk, last, (int32_t)(rows - done));
            kv_mem_give(last, chunk_bytes);
        }
    }
    kv_h5_column_close(c);
}

/* ---- dimension scales ---- */

void kv_h5_scale(struct kv_h5 *f, const char *dataset, const char *name)
{
    if (f->err.code) return;
    hid_t at = object(f, dataset);
    if (at < 0 || H5DSset_scale(at, name) < 0) broke(f, "making a scale of", dataset);
}

void kv_h5_attach(struct kv_h5 *f, const char *dataset, const char *scale, int32_t dimension)
{
    if (f->err.code) return;
    hid_t of = H5Dopen2(f->file, dataset, H5P_DEFAULT), by = object(f, scale);
    if (of < 0 || by < 0 || H5DSattach_scale(of, by, (unsigned)dimension) < 0) {
        broke(f, "naming a dimension of", dataset);
    }
    if (of >= 0) H5Dclose(of);
}
