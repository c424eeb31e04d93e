// The manifest of a checkpoint generation, and the names in a checkpoint folder. Pure functions but for
// mt_manifest_load, mt_checkpoint_check_file and mt_generation_list; any thread. What is read here is hostile until it
// has been checked.
#include "scheduler/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "engine/base/file.h"

static const char FIRST_LINE[] = "{\"digest\": \"00000000000000000000000000000000\",\n";
enum {
    FIRST_LINE_BYTES = sizeof FIRST_LINE - 1,
    DIGEST_AT = 12,                       // of the 32 digits in the first line
    MANIFEST_MAX_BYTES = 16 << 20,
    FILES_MAX = 65536
};

// ---- names ----

const char *mt_generation_name(const char *prefix, uint64_t generation, char out[MT_GENERATION_NAME_BYTES]) {
    snprintf(out, MT_GENERATION_NAME_BYTES, "%s" MT_GENERATION_PREFIX "%08" PRIu64, prefix, generation);
    return out;
}

bool mt_generation_parse(const char *name, const char *prefix, uint64_t *generation) {
    size_t skip = strlen(prefix) + strlen(MT_GENERATION_PREFIX);
    if (strlen(name) <= skip || strlen(name) >= MT_GENERATION_NAME_BYTES) return false;
    uint64_t number = 0;
    for (const char *c = name + skip; *c; c++) {
        if (*c < '0' || *c > '9') return false;
        number = number * 10 + (uint64_t)(*c - '0');
        if (number > MT_GENERATION_MAX) return false;
    }
    char exact[MT_GENERATION_NAME_BYTES];
    if (strcmp(mt_generation_name(prefix, number, exact), name) != 0) return false;
    *generation = number;
    return true;
}

mt_status mt_checkpoint_check_name(const char *name) {
    size_t length = strnlen(name, MT_CHECKPOINT_NAME_BYTES);
    size_t good = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    if (length == 0 || length >= MT_CHECKPOINT_NAME_BYTES || good != length || name[0] == '.' ||
        strcmp(name, MT_MANIFEST_NAME) == 0)
        return MT_FAIL(INVALID_ARGUMENT,
            "\"%.*s\" cannot be the name of a file in a checkpoint (letters, digits and ._- only, "
            "at most %d, not beginning with a dot)",
            (int)length, name, MT_CHECKPOINT_NAME_BYTES - 1);
    return MT_OK;
}

// ---- writing ----

mt_status mt_manifest_encode(const mt_checkpoint *checkpoint, mt_text *out) {
    char hex[MT_DIGEST_HEX_BYTES];
    json_t *build_id = json_string(checkpoint->build_id);
    char *quoted = build_id ? json_dumps(build_id, JSON_ENCODE_ANY) : NULL;
    json_decref(build_id);
    if (!quoted) return MT_FAIL(INVALID_ARGUMENT, "the build id of a checkpoint must be UTF-8 text");

    size_t start = out->length;
    mt_text_append(out, FIRST_LINE);
    mt_text_printf(out, " \"format\": %d,\n \"generation\": %" PRIu64 ",\n \"steps\": %" PRIu64 ",\n",
        MT_CHECKPOINT_FORMAT, checkpoint->generation, checkpoint->steps);
    mt_text_printf(out, " \"build_id\": %s,\n \"files\": [", quoted);
    for (size_t i = 0; i < checkpoint->file_count; i++) {
        const mt_checkpoint_file *file = &checkpoint->files[i];
        mt_text_printf(out, "%s\n  {\"name\": \"%s\", \"bytes\": %" PRIu64 ", \"digest\": \"%s\"}", i ? "," : "",
            file->name, file->bytes, mt_digest_hex(file->digest, hex));
    }
    mt_text_append(out, "\n ]}\n");
    free(quoted);
    MT_TRY(mt_text_status(out));

    // the body is complete: its digest takes the place of the zeroes
    size_t body = start + FIRST_LINE_BYTES;
    mt_digest_hex(mt_digest128_of(out->data + body, out->length - body), hex);
    memcpy(out->data + start + DIGEST_AT, hex, MT_DIGEST_HEX_BYTES - 1);
    return MT_OK;
}

// ---- reading ----

static mt_status check_digest(const char *text, size_t bytes, const char *source) {
    char hex[MT_DIGEST_HEX_BYTES] = "";
    mt_digest128 claimed;
    if (bytes < FIRST_LINE_BYTES || memcmp(text, FIRST_LINE, DIGEST_AT) != 0 ||
        memcmp(text + DIGEST_AT + 32, FIRST_LINE + DIGEST_AT + 32, FIRST_LINE_BYTES - DIGEST_AT - 32) != 0)
        return MT_FAIL(CORRUPT, "%s: not a manifest (its first line must hold its digest)", source);
    memcpy(hex, text + DIGEST_AT, 32);
    if (mt_digest_parse_hex(hex, &claimed) != MT_OK ||
        !mt_digest_equal(claimed, mt_digest128_of(text + FIRST_LINE_BYTES, bytes - FIRST_LINE_BYTES)))
        return MT_FAIL(CORRUPT, "%s: damaged (its digest is another)", source);
    return MT_OK;
}

// A whole number ≥ 0 under `key`.
static mt_status get_u64(const json_t *map, const char *key, const char *source, uint64_t *out) {
    const json_t *value = json_object_get(map, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return MT_FAIL(CORRUPT, "%s: \"%s\" is missing or no whole number", source, key);
    *out = (uint64_t)json_integer_value(value);
    return MT_OK;
}

static mt_status get_digest(const json_t *map, const char *key, const char *source, mt_digest128 *out) {
    const char *text = json_string_value(json_object_get(map, key));
    if (!text || mt_digest_parse_hex(text, out) != MT_OK)
        return MT_FAIL(CORRUPT, "%s: \"%s\" is missing or no digest", source, key);
    return MT_OK;
}

static mt_status get_file(const json_t *entry, const char *source, mt_checkpoint_file *out) {
    const char *name = json_string_value(json_object_get(entry, "name"));
    if (!name || mt_checkpoint_check_name(name) != MT_OK)
        return MT_FAIL(CORRUPT, "%s: a file without a proper name", source);   // "../x" ends here
    memcpy(out->name, name, strlen(name) + 1);
    MT_TRY(get_u64(entry, "bytes", source, &out->bytes));
    return get_digest(entry, "digest", source, &out->digest);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const mt_checkpoint_file *)a)->name, ((const mt_checkpoint_file *)b)->name);
}

static mt_status get_files(const json_t *list, const char *source, mt_checkpoint *out) {
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > FILES_MAX)
        return MT_FAIL(CORRUPT, "%s: \"files\" is missing or has more than %d entries", source, FILES_MAX);
    out->files = calloc(count + 1, sizeof *out->files);
    if (!out->files) return MT_FAIL(NO_MEMORY, "%s: no memory for %zu files", source, count);
    for (size_t i = 0; i < count; i++) {
        MT_TRY(get_file(json_array_get(list, i), source, &out->files[i]));
        out->file_count++;
    }
    qsort(out->files, count, sizeof *out->files, by_name);
    for (size_t i = 1; i < count; i++)
        if (by_name(&out->files[i - 1], &out->files[i]) == 0)
            return MT_FAIL(CORRUPT, "%s: lists %s twice", source, out->files[i].name);
    return MT_OK;
}

static mt_status get_all(const json_t *map, const char *source, mt_checkpoint *out) {
    uint64_t format = 0;
    MT_TRY(get_u64(map, "format", source, &format));
    if (format != MT_CHECKPOINT_FORMAT)
        return MT_FAIL(UNSUPPORTED, "%s: format %" PRIu64 ", this version of manta reads %d", source, format,
            MT_CHECKPOINT_FORMAT);
    MT_TRY(get_u64(map, "generation", source, &out->generation));
    MT_TRY(get_u64(map, "steps", source, &out->steps));
    const char *build_id = json_string_value(json_object_get(map, "build_id"));
    if (!build_id) return MT_FAIL(CORRUPT, "%s: \"build_id\" is missing", source);
    out->build_id = strdup(build_id);
    if (!out->build_id) return MT_FAIL(NO_MEMORY, "%s: no memory", source);
    return get_files(json_object_get(map, "files"), source, out);
}

mt_status mt_checkpoint_parse_manifest(const char *text, size_t bytes, const char *source, mt_checkpoint *out) {
    json_error_t error;
    *out = (mt_checkpoint){0};
    MT_TRY(check_digest(text, bytes, source));
    json_t *map = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (!map) return MT_FAIL(CORRUPT, "%s: line %d: %s", source, error.line, error.text);
    mt_status status = get_all(map, source, out);
    json_decref(map);
    if (status != MT_OK) mt_checkpoint_fini(out);
    return status;
}

void mt_checkpoint_fini(mt_checkpoint *checkpoint) {
    free(checkpoint->path);
    free(checkpoint->build_id);
    free(checkpoint->files);
    free(checkpoint->skipped);
    *checkpoint = (mt_checkpoint){0};
}

mt_status mt_manifest_load(const char *folder, uint64_t generation, mt_checkpoint *out) {
    char name[MT_GENERATION_NAME_BYTES], path[MT_PATH_BYTES], manifest[MT_PATH_BYTES];
    char *text = NULL;
    size_t bytes = 0;
    *out = (mt_checkpoint){0};
    MT_TRY(mt_path_join(path, sizeof path, folder, mt_generation_name("", generation, name)));
    MT_TRY(mt_path_join(manifest, sizeof manifest, path, MT_MANIFEST_NAME));
    MT_TRY(mt_file_read(manifest, MANIFEST_MAX_BYTES, &text, &bytes));
    mt_status status = mt_checkpoint_parse_manifest(text, bytes, manifest, out);
    free(text);
    MT_TRY(status);
    if (out->generation != generation)
        status = MT_FAIL(CORRUPT, "%s: is the manifest of generation %" PRIu64, manifest, out->generation);
    else if (!(out->path = strdup(path)))
        status = MT_FAIL(NO_MEMORY, "%s: no memory", manifest);
    if (status != MT_OK) mt_checkpoint_fini(out);
    return status;
}

// ---- what lies on the disk ----

mt_status mt_checkpoint_check_file(const char *generation_path, const mt_checkpoint_file *file) {
    char path[MT_PATH_BYTES];
    struct stat info;
    MT_TRY(mt_path_join(path, sizeof path, generation_path, file->name));
    if (lstat(path, &info) != 0) {
        if (errno == ENOENT) return MT_FAIL(CORRUPT, "%s: missing", path);
        return mt_file_fail(errno, "examine", path);
    }
    if (!S_ISREG(info.st_mode)) return MT_FAIL(CORRUPT, "%s: not a regular file", path);
    if ((uint64_t)info.st_size != file->bytes)
        return MT_FAIL(CORRUPT, "%s: has %lld bytes, %" PRIu64 " expected", path, (long long)info.st_size, file->bytes);
    return MT_OK;
}

static int by_number(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

mt_status mt_generation_list(const char *folder, uint64_t **out, size_t *count) {
    mt_folder_names names = {0};
    *out = NULL;
    *count = 0;
    mt_status status = mt_folder_list(folder, &names);
    if (status == MT_NOT_FOUND) return MT_OK;
    MT_TRY(status);
    uint64_t *list = calloc(names.count + 1, sizeof *list);
    size_t found = 0;
    for (size_t i = 0; list && i < names.count; i++)
        if (mt_generation_parse(names.names[i], "", &list[found])) found++;
    mt_folder_names_fini(&names);
    if (!list) return MT_FAIL(NO_MEMORY, "%s: no memory to list it", folder);
    qsort(list, found, sizeof *list, by_number);
    *out = list;
    *count = found;
    return MT_OK;
}
