// Options: ONE row per option gives the YAML key, the flag, the default, the range check, --help, the documentation, and
// the line of a run's resolved config.yml.
//
//     typedef struct ppo_config { int n_steps; double gamma; mt_schedule learning_rate; mt_int_list net_arch[2]; } ppo_config;
//     static const mt_option ppo_options[] = {
//         {MT_OPTION(ppo_config, n_steps), .type = MT_OPT_INT, .standard = "2048", .range = "[1, 1e9]",
//          .why = "an update needs at least one step", .unit = "steps", .group = "PPO", .help = "steps per environment and update"},
//         {MT_OPTION(ppo_config, gamma), .type = MT_OPT_FLOAT, .standard = "0.99", .range = "(0, 1]", ...},
//         {MT_OPTION(ppo_config, learning_rate), .type = MT_OPT_SCHEDULE, .standard = "0.0003", ...},
//     };
//     mt_options options;
//     mt_option_section sections[] = {{.table = ppo_options, .count = MT_COUNT(ppo_options), .object = &config}};
//     MT_TRY(mt_options_init(&options, sections, 1));               // defaults are now in config
//     MT_TRY(mt_options_parse_args(&options, argc, argv, positionals, 4, &count));
//     MT_TRY(mt_options_set_yaml(&options, preset, MT_FROM_PRESET));   // does not override the command line
//     mt_options_fini(&options);
//
// Configuration objects are plain old data: no pointers inside, copied with =, sent with memcpy, compared with memcmp
// when they were zeroed before (mt_options_init zeroes nothing but the fields it sets).
//
// Precedence is by where a value comes from, not by the order of calls: default < preset < file < command line. A value
// from a lower place is still checked, then left out. From the same place the last one wins.
//
// Errors: MT_CONFIG, saying where the value came from, the value, the range and the reason, or "did you mean".
// One thread at a time per mt_options.
#ifndef MANTA_ENGINE_BASE_OPTION_H
#define MANTA_ENGINE_BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "engine/base/status.h"
#include "engine/base/text.h"
#include "engine/base/yaml.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MT_COUNT(array) (sizeof(array) / sizeof *(array))

typedef enum mt_option_type {
    MT_OPT_BOOL,       // bool, or int with 0 and 1
    MT_OPT_INT,        // int32_t/int or int64_t (by the field's size); 1e5 is an integer
    MT_OPT_FLOAT,      // double or float
    MT_OPT_STRING,     // char[n]: what does not fit is an error
    MT_OPT_CHOICE,     // int or enum: the index in .choices; any case; a "nn." prefix is ignored (nn.ReLU = relu)
    MT_OPT_SCHEDULE,   // mt_schedule: "0.001" constant, "lin_0.001" falls linearly to 0
    MT_OPT_INT_LIST,   // mt_int_list, or mt_int_list[k] with k names in .choices: [64, 64] sets all k lists (but empties one
                       // called "shared"), {pi: [64, 64], vf: [256]} each by name (names left out have the default)
    MT_OPT_PAIRS       // mt_pairs: a mapping of free keys to text, e.g. env_kwargs; on the command line k:v k:v ...
} mt_option_type;

enum { MT_INT_LIST_MAX = 16, MT_PAIRS_MAX = 16, MT_PAIR_KEY_BYTES = 64, MT_PAIR_VALUE_BYTES = 192 };

typedef struct mt_int_list {
    int count;
    int items[MT_INT_LIST_MAX];   // (count)
} mt_int_list;

typedef struct mt_pairs {
    int count;
    struct {
        char key[MT_PAIR_KEY_BYTES];
        char value[MT_PAIR_VALUE_BYTES];
    } items[MT_PAIRS_MAX];        // (count), in the order given
} mt_pairs;

typedef struct mt_schedule {
    double value;    // at the start
    int linear;      // 0: constant; 1: value × remaining
} mt_schedule;

// remaining: 1 at the start of training, 0 at its end (Stable-Baselines3's progress_remaining)
static inline double mt_schedule_at(mt_schedule schedule, double remaining) {
    return schedule.linear ? schedule.value * remaining : schedule.value;
}

const char *mt_pairs_find(const mt_pairs *pairs, const char *key);   // view; NULL when absent

enum {
    MT_OPTION_CLI_ONLY = 1,   // a flag, not a YAML key, not in config.yml: --conf-file, --resume
    MT_OPTION_HIDDEN = 2,     // works, but in no help and no documentation
    MT_OPTION_PATH = 4,       // a string that completes as a file name
    MT_OPTION_WORDS = 8       // a string of another program's words: its value may begin with '-'
};

typedef struct mt_option {
    const char *name;             // snake_case: the YAML key, --kebab-case, and key of -params key:value
    size_t offset, bytes;         // of the field: MT_OPTION(struct, field) sets name, offset and bytes
    mt_option_type type;
    char letter;                  // short flag: 'n' for -n; 0 = none
    unsigned flags;               // MT_OPTION_*
    const char *aliases;          // Nullable: other names, separated by blanks: "total_timesteps timesteps"
    const char *standard;         // the default as text, read like any other value
    const char *none;             // Nullable: the value that null/None stands for ("0" for target_kl: null), in or out of the
                                  // range; NULL: null is refused
    const char *const *choices;   // CHOICE: the words; STRING: words that are known, among others; INT_LIST with several lists:
                                  // their names; ends with NULL
    const char *range;            // Nullable: "[1, 1e9]", "(0, 1]", "(0, inf)": numbers, schedules, each item of a list
    const char *why;              // reason for the range: "the discount must leave a horizon"
    const char *group;            // heading in help and documentation
    const char *unit;             // Nullable: "steps", "seconds"
    const char *help;             // one sentence, lower case, no full stop
} mt_option;

#define MT_OPTION(type_, field_)                                                                                       \
    .name = #field_, .offset = offsetof(type_, field_), .bytes = sizeof(((type_ *)0)->field_)

typedef struct mt_option_section {
    const char *nest;        // Nullable: YAML key whose mapping holds these options ("policy_kwargs"); the value may be a
                             // mapping or the zoo's "dict(...)" string. The keys work un-nested too.
    const mt_option *table;  // borrowed (count)
    size_t count;
    void *object;            // borrowed: the struct that the offsets point into
} mt_option_section;

typedef enum mt_option_from { MT_FROM_DEFAULT, MT_FROM_PRESET, MT_FROM_FILE, MT_FROM_COMMAND_LINE } mt_option_from;

typedef struct mt_option_origin {
    mt_option_from from;
    char where[120];    // "default", "presets/ppo.yml:12", "command line"
} mt_option_origin;

enum { MT_OPTION_SECTIONS_MAX = 8 };

typedef struct mt_options {
    mt_option_section sections[MT_OPTION_SECTIONS_MAX];
    size_t section_count;
    size_t count;                // options of all sections
    mt_option_origin *origins;   // owned (count): sections in order, rows in order
    bool help;                   // parse_args met -h or --help
    bool word_ends_flags;        // set after init: from the first positional on nothing is a flag of these options
} mt_options;

// Checks the tables (MT_INTERNAL names the bad row: size against type, default outside its range, name twice), writes
// every default into the objects.
mt_status mt_options_init(mt_options *options, const mt_option_section *sections, size_t section_count);
void mt_options_fini(mt_options *options);   // the objects stay

// Sets one option by key, alias, or nested key ("policy_kwargs" with a dict text). `where` appears in messages and in the
// resolved config: "command line", "presets/ppo.yml:12".
mt_status mt_options_set_text(mt_options *options, const char *key, const char *value, mt_option_from from,
    const char *where);

// Sets every key of a mapping; a null node sets nothing. Unknown keys are errors. Positions come from the nodes. After an
// error the keys before it are set.
mt_status mt_options_set_yaml(mt_options *options, const mt_yaml_node *mapping, mt_option_from from);

// Reads a command line (argv[0] is skipped). Accepts --flag value, --flag=value, --flag_name, -n value, switches without
// a value (--progress, --no-progress, --progress=false), `-params k:v k:v` (also --hyperparams), and for PAIRS options
// `--env-kwargs k:v k:v`. "--" ends the flags. What is no flag goes to positionals (borrowed from argv); more than
// positional_capacity are an error. -h and --help set options->help.
mt_status mt_options_parse_args(mt_options *options, int argc, char *const *argv, const char **positionals,
    size_t positional_capacity, size_t *positional_count);

const mt_option *mt_options_find(const mt_options *options, const char *key);   // by name or alias; NULL when unknown
// Where the present value of an option came from; NULL when unknown.
const mt_option_origin *mt_options_origin(const mt_options *options, const char *key);
// Says anew where the present value came from; the rank of that place in precedence stays. Unknown keys: nothing happens.
void mt_options_mark(mt_options *options, const char *key, const char *where);
// For values that a file of mt_options_dump_yaml gave, `text` being that file: their origins become those that stand in it.
void mt_options_read_origins(mt_options *options, const char *text);
// Appends the present value as text that set_text reads back to the same value.
mt_status mt_options_get_text(const mt_options *options, const char *key, mt_text *out);

// The resolved configuration as YAML, each line with where its value came from; loads back to identical objects.
mt_status mt_options_dump_yaml(const mt_options *options, mt_text *out);

// For people and shells, all from the same rows.
void mt_options_print_help(const mt_options *options, FILE *out);       // groups, 100 columns
void mt_options_help_text(const mt_options *options, mt_text *out);     // the same into a text
void mt_options_dump_markdown(const mt_options *options, mt_text *out); // a table per group
void mt_options_dump_man(const mt_options *options, mt_text *out);      // roff .SS/.TP entries
// Bash: `_NAME_flags="--algo ..."` and `_NAME_values() { case "$1" in ... }` that prints the words a flag completes to
// (the single word <file> for paths).
void mt_options_dump_bash(const mt_options *options, const char *name, mt_text *out);

#ifdef __cplusplus
}
#endif
#endif
