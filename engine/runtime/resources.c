// Resources: vectors of integers, their names, and how users write them. Pure functions over the caller's storage; any thread.
#include "engine/runtime/resources.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void mt_resource_names_init(mt_resource_names *names) {
    static const char *const fixed[MT_RESOURCE_CUSTOM] = {"CPU", "GPU", "memory"};
    memset(names, 0, sizeof *names);
    names->count = MT_RESOURCE_CUSTOM;
    for (int i = 0; i < MT_RESOURCE_CUSTOM; i++) snprintf(names->name[i], sizeof names->name[i], "%s", fixed[i]);
}

int mt_resource_number(const mt_resource_names *names, const char *name) {
    if (!name) return -1;
    for (int i = 0; i < names->count; i++)
        if (i < MT_RESOURCE_CUSTOM ? mt_text_equal_fold(names->name[i], name) : strcmp(names->name[i], name) == 0) return i;
    return -1;
}

static bool is_name(const char *name) {
    size_t length = strlen(name);
    if (length == 0 || length >= MT_RESOURCE_NAME_BYTES || !isalpha((unsigned char)name[0])) return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("_-.:", name[i])) return false;
    return true;
}

mt_status mt_resource_add(mt_resource_names *names, const char *name, int *number) {
    *number = mt_resource_number(names, name);
    if (*number >= 0) return MT_OK;
    if (!is_name(name))
        return MT_FAIL(CONFIG, "\"%.40s\" cannot name a resource: begin with a letter, use letters, digits and _ - . : (at most %d)",
            name, MT_RESOURCE_NAME_BYTES - 1);
    if (names->count == MT_RESOURCES)
        return MT_FAIL(CONFIG, "resource \"%s\" is one too many: a job has at most %d custom resources; use fewer names", name,
            MT_RESOURCES - MT_RESOURCE_CUSTOM);
    *number = names->count++;
    snprintf(names->name[*number], sizeof names->name[*number], "%s", name);
    return MT_OK;
}

int mt_resources_fit(const mt_resources *wanted, const mt_resources *have) {
    for (int i = 0; i < MT_RESOURCES; i++)
        if (wanted->amount[i] > 0 && wanted->amount[i] > have->amount[i]) return 0;
    return 1;
}

void mt_resources_add(mt_resources *a, const mt_resources *b) {
    for (int i = 0; i < MT_RESOURCES; i++) a->amount[i] += b->amount[i];
}

void mt_resources_subtract(mt_resources *a, const mt_resources *b) {
    for (int i = 0; i < MT_RESOURCES; i++) a->amount[i] -= b->amount[i];
}

int mt_resources_zero(const mt_resources *a) {
    for (int i = 0; i < MT_RESOURCES; i++)
        if (a->amount[i]) return 0;
    return 1;
}

int mt_resources_in_range(const mt_resources *a) {
    for (int i = 0; i < MT_RESOURCES; i++)
        if (a->amount[i] < 0 || a->amount[i] > MT_RESOURCE_MOST) return 0;
    return 1;
}

static int64_t units_of(int number, double amount) {
    double units = number == MT_RESOURCE_MEMORY ? amount : amount * MT_RESOURCE_UNIT;
    if (!(units > 0)) return 0;   // NaN, too
    if (units >= (double)MT_RESOURCE_MOST) return MT_RESOURCE_MOST;
    // what was asked for, however little, is not nothing
    int64_t rounded = (int64_t)floor(units + 0.5);
    return rounded > 0 ? rounded : 1;
}

void mt_resources_ask(mt_resources *a, int number, double amount) {
    int64_t sum = a->amount[number] + units_of(number, amount);
    a->amount[number] = sum < MT_RESOURCE_MOST ? sum : MT_RESOURCE_MOST;
}

static const struct {
    const char *suffix;
    double bytes;
} sizes[] = {{"TiB", 0x1p40}, {"GiB", 0x1p30}, {"MiB", 0x1p20}, {"KiB", 0x1p10}};

void mt_resource_format(int number, int64_t amount, char *out, size_t out_bytes) {
    if (number != MT_RESOURCE_MEMORY) {
        snprintf(out, out_bytes, "%.10g", (double)amount / MT_RESOURCE_UNIT);
        return;
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if ((double)amount >= sizes[i].bytes) {
            snprintf(out, out_bytes, "%.4g %s", (double)amount / sizes[i].bytes, sizes[i].suffix);
            return;
        }
    snprintf(out, out_bytes, "%lld B", (long long)amount);
}

// "2G", "2GiB", "512M", "1e9", "1.5 GiB": K, M, G, T are powers of 1024
static mt_status parse_bytes(const char *text, int64_t *out) {
    char number[64];
    size_t length = strlen(text);
    double factor = 1;
    if (length == 0 || length >= sizeof number) return MT_FAIL(CONFIG, "\"%.40s\" is no amount of memory", text);
    memcpy(number, text, length + 1);
    if (length > 2 && mt_text_equal_fold(number + length - 2, "iB")) number[length -= 2] = '\0';
    else if (length > 1 && (number[length - 1] == 'B' || number[length - 1] == 'b')) number[--length] = '\0';
    static const char letters[] = "TGMK";
    const char *at = length > 1 ? strchr(letters, toupper((unsigned char)number[length - 1])) : NULL;
    if (at) {
        factor = sizes[at - letters].bytes;
        number[--length] = '\0';
    }
    while (length && number[length - 1] == ' ') number[--length] = '\0';
    double amount;
    if (mt_parse_f64(number, &amount) != MT_OK || amount < 0)
        return MT_FAIL(CONFIG, "\"%s\" is no amount of memory; write for example 512M, 2G or 1.5GiB", text);
    if (amount * factor > (double)MT_RESOURCE_MOST)
        return MT_FAIL(CONFIG, "\"%s\" of memory is more than a rank can have, which is 256 TiB", text);
    *out = (int64_t)(amount * factor);
    return MT_OK;
}

static mt_status parse_entry(char *entry, mt_resource_names *names, mt_resources *out) {
    char *equals = strchr(entry, '=');
    if (!equals) return MT_FAIL(CONFIG, "\"%s\" has no amount; write name=amount, for example cpu=4,gpu=1,memory=2G", entry);
    *equals = '\0';
    int number;
    MT_TRY(mt_resource_add(names, entry, &number));
    const char *amount = equals + 1;
    if (number == MT_RESOURCE_MEMORY) return parse_bytes(amount, &out->amount[number]);
    double value;
    if (mt_parse_f64(amount, &value) != MT_OK || value < 0 || value > 1e9)
        return MT_FAIL(CONFIG, "%s=%s: the amount is a number from 0 to 1e9, for example %s=2 or %s=0.5", entry, amount, entry, entry);
    if (number == MT_RESOURCE_GPU && (value != floor(value) || value > MT_GPUS_MAX))
        return MT_FAIL(CONFIG, "%s=%s: a rank has whole devices, 0 to %d; write for example %s=1, and let tasks ask for a part of one", entry,
            amount, MT_GPUS_MAX, entry);
    out->amount[number] = units_of(number, value);
    return MT_OK;
}

mt_status mt_resources_parse(const char *text, mt_resource_names *names, mt_resources *out) {
    // both results or none
    mt_resource_names new_names = *names;
    mt_resources found = *out;
    for (const char *at = text; *at;) {
        char entry[128];
        size_t length = strcspn(at, ",");
        if (length >= sizeof entry) return MT_FAIL(CONFIG, "resources \"%s\": an entry is too long", text);
        memcpy(entry, at, length);
        entry[length] = '\0';
        mt_status status = length ? parse_entry(entry, &new_names, &found)
                                  : MT_FAIL(CONFIG, "an entry is empty; write for example cpu=4,gpu=1");
        if (status != MT_OK) return mt_fail_context(status, "resources \"%.100s\", at letter %d: ", text, (int)(at - text) + 1);
        at += length;
        if (*at == ',' && *++at == '\0') return MT_FAIL(CONFIG, "resources \"%.100s\" end with a comma; remove it", text);
    }
    *names = new_names;
    *out = found;
    return MT_OK;
}
