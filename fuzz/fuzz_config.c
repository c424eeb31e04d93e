// Everything a configuration passes through: YAML, the Python literals in RL Zoo files, the option table, a command
// line.
// The same input is read in all four ways. A configuration that is accepted must, written out, load back the same.
#include <stdio.h>
#include "engine/base/option.h"
#include "engine/base/text.h"
#include "engine/base/yaml.h"
#include "fuzz/fuzz.h"

typedef struct config {
    bool normalize;
    int n_steps;
    int64_t total;
    double gamma;
    float clip;
    char env[32];
    int activation;
    mt_schedule rate;
    mt_int_list net_arch[2];
    mt_pairs kwargs;
} config;

static const char *const activations[] = {"tanh", "relu", NULL};
static const char *const nets[] = {"pi", "vf", NULL};
static const mt_option table[] = {
    {MT_OPTION(config, normalize), .type = MT_OPT_BOOL, .standard = "false", .group = "F", .help = "a"},
    {MT_OPTION(config, n_steps), .type = MT_OPT_INT, .letter = 'n', .standard = "2048", .range = "[1, 1e9]", .why = "b",
        .group = "F", .help = "b"},
    {MT_OPTION(config, total), .type = MT_OPT_INT, .aliases = "timesteps all", .standard = "1e5", .group = "F",
        .help = "c"},
    {MT_OPTION(config, gamma), .type = MT_OPT_FLOAT, .standard = "0.99", .range = "(0, 1]", .why = "d", .group = "F",
        .help = "d"},
    {MT_OPTION(config, clip), .type = MT_OPT_FLOAT, .standard = "0.2", .none = "0", .group = "F", .help = "e"},
    {MT_OPTION(config, env), .type = MT_OPT_STRING, .standard = "CartPole-v1", .group = "F", .help = "f"},
    {MT_OPTION(config, rate), .type = MT_OPT_SCHEDULE, .standard = "lin_0.001", .range = "[0, inf)", .why = "g",
        .group = "F", .help = "g"},
    {MT_OPTION(config, kwargs), .type = MT_OPT_PAIRS, .standard = "", .group = "F", .help = "h"},
};
static const mt_option nested[] = {
    {MT_OPTION(config, activation), .type = MT_OPT_CHOICE, .choices = activations, .standard = "tanh", .group = "P",
        .help = "i"},
    {MT_OPTION(config, net_arch), .type = MT_OPT_INT_LIST, .choices = nets, .standard = "[64, 64]",
        .range = "[1, 65536]", .why = "j", .group = "P", .help = "j"},
};

static void open_options(mt_options *options, config *c) {
    memset(c, 0, sizeof *c);
    mt_option_section sections[] = {
        {.table = table, .count = MT_COUNT(table), .object = c},
        {.nest = "policy_kwargs", .table = nested, .count = MT_COUNT(nested), .object = c},
    };
    FUZZ_CHECK(mt_options_init(options, sections, MT_COUNT(sections)) == MT_OK);
}

// ---- YAML and Python literals ----

static void walk(const mt_yaml_node *node, int depth) {
    int64_t i;
    double d;
    bool b;
    const char *s;
    FUZZ_CHECK(depth <= 64);
    (void)mt_yaml_is_null(node);
    (void)mt_yaml_i64(node, &i);
    (void)mt_yaml_f64(node, &d);
    (void)mt_yaml_bool(node, &b);
    (void)mt_yaml_string(node, &s);
    for (size_t k = 0; k < node->count; k++) {
        walk(node->items[k], depth + 1);
        if (node->kind == MT_YAML_MAPPING) FUZZ_CHECK(mt_yaml_find(node, node->keys[k]->text) != NULL);
    }
}

// What write_string writes reads back as the same string.
static void write_and_read(const char *string) {
    mt_text text = {0};
    mt_yaml *doc = NULL;
    const char *again = NULL;
    mt_yaml_write_string(&text, string);
    FUZZ_CHECK(mt_yaml_load_text(mt_text_str(&text), text.length, "again", NULL, &doc) == MT_OK);
    FUZZ_CHECK(mt_yaml_string(mt_yaml_root(doc), &again) == MT_OK && strcmp(again, string) == 0);
    mt_yaml_destroy(doc);
    mt_text_fini(&text);
}

// ---- options ----

// The accepted configuration, written out and loaded, is the same to the byte.
static void dump_and_load(const mt_options *options, const config *c) {
    mt_text text = {0};
    mt_yaml *doc = NULL;
    mt_options again;
    config other;
    FUZZ_CHECK(mt_options_dump_yaml(options, &text) == MT_OK);
    FUZZ_CHECK(mt_yaml_load_text(mt_text_str(&text), text.length, "dump", NULL, &doc) == MT_OK);
    open_options(&again, &other);
    FUZZ_CHECK(mt_options_set_yaml(&again, mt_yaml_root(doc), MT_FROM_FILE) == MT_OK);
    FUZZ_CHECK(memcmp(c, &other, sizeof other) == 0);
    mt_options_fini(&again);
    mt_yaml_destroy(doc);
    mt_text_fini(&text);
}

static void set_from_yaml(const mt_yaml *doc) {
    mt_options options;
    config c;
    open_options(&options, &c);
    if (mt_options_set_yaml(&options, mt_yaml_root(doc), MT_FROM_FILE) == MT_OK) dump_and_load(&options, &c);
    mt_options_fini(&options);
}

// Words of a command line are separated by blanks.
static void set_from_arguments(char *text) {
    enum { WORDS = 32 };
    char *argv[WORDS + 1] = {(char *)"manta"}, *rest = NULL;
    const char *positionals[4];
    size_t count = 0;
    int argc = 1;
    for (char *word = strtok_r(text, " \n", &rest); word && argc < WORDS; word = strtok_r(NULL, " \n", &rest))
        argv[argc++] = word;
    mt_options options;
    config c;
    open_options(&options, &c);
    if (mt_options_parse_args(&options, argc, argv, positionals, 4, &count) == MT_OK) {
        FUZZ_CHECK(count <= 4);
        dump_and_load(&options, &c);
    }
    mt_options_fini(&options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    mt_yaml *doc = NULL;
    char *exact = fuzz_copy(data, bytes), *text = fuzz_string(data, bytes);
    if (mt_yaml_load_text(exact, bytes, "fuzz.yml", NULL, &doc) == MT_OK) {
        walk(mt_yaml_root(doc), 0);
        set_from_yaml(doc);
    }
    mt_yaml_destroy(doc);
    if (mt_yaml_parse_pydict(text, "fuzz.yml", 1, 1, &doc) == MT_OK) walk(mt_yaml_root(doc), 0);
    mt_yaml_destroy(doc);
    if (mt_text_is_utf8(text)) write_and_read(text);
    set_from_arguments(text);
    free(exact);
    free(text);
    return 0;
}
