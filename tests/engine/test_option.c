// option.h: every type, every place a value can come from, every way it can be wrong.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/option.h"
#include "engine/base/rng.h"

typedef struct config {
    int n_steps;
    int64_t n_timesteps;
    double gamma;
    float momentum;
    double target_kl;
    bool normalize;
    int verbose_switch;
    char env[32];
    char conf_file[64];
    mt_schedule learning_rate;
    mt_pairs env_kwargs;
    mt_int_list sizes;
} config;

typedef struct policy_config {
    mt_int_list net_arch[3];
    int activation_fn;
    bool ortho_init;
    double log_std_init;
} policy_config;

static const char *const nets[] = {"shared", "pi", "vf", NULL}, *const activations[] = {"tanh", "relu", "elu", NULL};

#define RUN .group = "Run", .help = "what it does"
static const mt_option rows[] = {
    {MT_OPTION(config, n_steps), .type = MT_OPT_INT, .standard = "2048", .range = "[1, 1e9]", .why = "an update needs a step", .unit = "steps", RUN},
    {MT_OPTION(config, n_timesteps), .type = MT_OPT_INT, .letter = 'n', .aliases = "total_timesteps timesteps", .standard = "1e5", .range = "[1, inf)", .why = "w", RUN},
    {MT_OPTION(config, gamma), .type = MT_OPT_FLOAT, .standard = "0.99", .range = "(0, 1]", .why = "the discount must leave a horizon", RUN},
    {MT_OPTION(config, momentum), .type = MT_OPT_FLOAT, .standard = "0.1", RUN},
    {MT_OPTION(config, target_kl), .type = MT_OPT_FLOAT, .standard = "null", .none = "0", .range = "(0, 10]", .why = "w", RUN},
    {MT_OPTION(config, normalize), .type = MT_OPT_BOOL, .standard = "false", .group = "Other", .help = "λ: a | b"},
    {MT_OPTION(config, verbose_switch), .type = MT_OPT_BOOL, .letter = 'P', .standard = "true", RUN},
    {MT_OPTION(config, env), .type = MT_OPT_STRING, .standard = "", RUN},
    {MT_OPTION(config, conf_file), .type = MT_OPT_STRING, .letter = 'f', .flags = MT_OPTION_CLI_ONLY | MT_OPTION_PATH, .standard = "", RUN},
    {MT_OPTION(config, learning_rate), .type = MT_OPT_SCHEDULE, .standard = "0.0003", .range = "[0, 1]", .why = "w", RUN},
    {MT_OPTION(config, env_kwargs), .type = MT_OPT_PAIRS, .standard = "", RUN},
    {MT_OPTION(config, sizes), .type = MT_OPT_INT_LIST, .standard = "[1, 2]", .flags = MT_OPTION_HIDDEN, RUN},
};
static const mt_option policy_rows[] = {
    {MT_OPTION(policy_config, net_arch), .type = MT_OPT_INT_LIST, .choices = nets, .standard = "{shared: [], pi: [64, 64], vf: [64, 64]}", .range = "[1, 65536]",
        .why = "a layer needs a unit", .group = "Policy", .help = "h"},
    {MT_OPTION(policy_config, activation_fn), .type = MT_OPT_CHOICE, .choices = activations, .standard = "tanh", .group = "Policy", .help = "h"},
    {MT_OPTION(policy_config, ortho_init), .type = MT_OPT_BOOL, .standard = "True", .group = "Policy", .help = "h"},
    {MT_OPTION(policy_config, log_std_init), .type = MT_OPT_FLOAT, .standard = "0", .group = "Policy", .help = "h"},
};

typedef struct fixture {
    config c;
    policy_config p;
    mt_options options;
} fixture;

static void start(fixture *f) {
    memset(f, 0, sizeof *f);
    mt_option_section sections[] = {{.table = rows, .count = MT_COUNT(rows), .object = &f->c},
        {.nest = "policy_kwargs", .table = policy_rows, .count = MT_COUNT(policy_rows), .object = &f->p}};
    cr_assert_eq(mt_options_init(&f->options, sections, 2), MT_OK, "%s", mt_last_error());
}

static mt_status set(fixture *f, const char *key, const char *value) {
    return mt_options_set_text(&f->options, key, value, MT_FROM_COMMAND_LINE, "command line");
}

static mt_status set_yaml(fixture *f, const char *text, mt_option_from from) {
    mt_yaml *doc = NULL;
    cr_assert_eq(mt_yaml_load_text(text, strlen(text), "presets/ppo.yml", NULL, &doc), MT_OK, "%s", mt_last_error());
    mt_status status = mt_options_set_yaml(&f->options, mt_yaml_root(doc), from);
    mt_yaml_destroy(doc);
    return status;
}

static const char *positionals[2];
static size_t positional_count;

#define ARGS(f, ...)                                                                                                   \
    args((f), (char *[]){"manta", __VA_ARGS__}, sizeof((char *[]){"manta", __VA_ARGS__}) / sizeof(char *))
static mt_status args(fixture *f, char **argv, size_t argc) {
    return mt_options_parse_args(&f->options, (int)argc, argv, positionals, 2, &positional_count);
}

static void expect_message(const char *part) {
    cr_expect_not_null(strstr(mt_last_error(), part), "\"%s\" is not in: %s", part, mt_last_error());
}

Test(option, defaults) {
    fixture f;
    start(&f);
    cr_assert(f.c.n_steps == 2048 && f.c.n_timesteps == 100000 && f.c.gamma == 0.99 && f.c.momentum == 0.1f);
    cr_assert(f.c.target_kl == 0 && !f.c.normalize && f.c.verbose_switch == 1 && f.c.env[0] == 0);
    cr_assert(f.c.learning_rate.value == 0.0003 && !f.c.learning_rate.linear && f.c.env_kwargs.count == 0);
    cr_assert(f.c.sizes.count == 2 && f.c.sizes.items[1] == 2);
    cr_assert(f.p.net_arch[0].count == 0 && f.p.net_arch[2].items[1] == 64 && f.p.activation_fn == 0 && f.p.ortho_init);
    cr_assert_str_eq(mt_options_origin(&f.options, "gamma")->where, "default");
    cr_assert_null(mt_options_origin(&f.options, "gama"));
    mt_options_fini(&f.options);
}

Test(option, what_the_zoo_writes) {
    fixture f;
    start(&f);
    cr_assert_eq(set_yaml(&f, "n_timesteps: !!float 1e6\nnormalize: True\nlearning_rate: lin_0.001\nn_steps: 8\n"
        "policy_kwargs: \"dict(log_std_init=-2, ortho_init=False, activation_fn=nn.ReLU, net_arch=dict(pi=[256, 256], vf=[128]))\"\n",
        MT_FROM_PRESET), MT_OK, "%s", mt_last_error());
    cr_assert(f.c.n_timesteps == 1000000 && f.c.normalize && f.c.learning_rate.linear && f.c.learning_rate.value == 0.001);
    cr_assert(f.p.log_std_init == -2 && !f.p.ortho_init && f.p.activation_fn == 1);
    cr_assert(f.p.net_arch[0].count == 0 && f.p.net_arch[1].items[1] == 256 && f.p.net_arch[2].count == 1 && f.p.net_arch[2].items[0] == 128);
    cr_assert_str_eq(mt_options_origin(&f.options, "n_steps")->where, "presets/ppo.yml:4");
    cr_assert_str_eq(mt_options_origin(&f.options, "activation_fn")->where, "presets/ppo.yml:5");
    cr_assert_eq(mt_options_origin(&f.options, "n_steps")->from, MT_FROM_PRESET);
    mt_options_fini(&f.options);
}

Test(option, net_arch_in_all_its_forms) {
    static const struct {
        const char *text;
        int shared, pi, vf;   // first layer; 0 = none
    } forms[] = {{"[32, 16]", 0, 32, 32}, {"32,16", 0, 32, 32}, {"{pi: [8], vf: [9]}", 0, 8, 9}, {"dict(pi=[8], vf=[9])", 0, 8, 9},
        {"[dict(pi=[8], vf=[9])]", 0, 8, 9}, {"[7, {pi: [8], vf: [9]}]", 7, 8, 9}, {"{shared: [5], pi: []}", 5, 0, 64}, {"[]", 0, 0, 0}, {"{}", 0, 64, 64}};
    for (size_t i = 0; i < MT_COUNT(forms); i++) {
        fixture f;
        start(&f);
        cr_expect_eq(set(&f, "net_arch", forms[i].text), MT_OK, "%s: %s", forms[i].text, mt_last_error());
        int got[3];
        for (int k = 0; k < 3; k++) got[k] = f.p.net_arch[k].count ? f.p.net_arch[k].items[0] : 0;
        cr_expect(got[0] == forms[i].shared && got[1] == forms[i].pi && got[2] == forms[i].vf, "%s: %d %d %d", forms[i].text, got[0], got[1], got[2]);
        mt_options_fini(&f.options);
    }
}

Test(option, precedence_does_not_depend_on_order) {
    for (int order = 0; order < 6; order++) {
        fixture f;
        start(&f);
        static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
        for (int i = 0; i < 3; i++) {
            if (orders[order][i] == 0) cr_assert_eq(set_yaml(&f, "n_steps: 1\ngamma: 0.1\nnet_arch: {pi: [1]}", MT_FROM_PRESET), MT_OK);
            if (orders[order][i] == 1) cr_assert_eq(set_yaml(&f, "n_steps: 2\nnet_arch: {vf: [2]}", MT_FROM_FILE), MT_OK);
            if (orders[order][i] == 2) cr_assert_eq(set(&f, "n_steps", "3"), MT_OK);
        }
        cr_expect(f.c.n_steps == 3 && f.c.gamma == 0.1, "order %d", order);
        cr_expect(f.p.net_arch[1].count == 2 && f.p.net_arch[2].items[0] == 2, "order %d", order);
        // a value that does not win is checked all the same
        cr_expect_eq(set_yaml(&f, "n_steps: 0", MT_FROM_PRESET), MT_CONFIG);
        cr_expect_eq(f.c.n_steps, 3);
        mt_options_fini(&f.options);
    }
}

Test(option, bad_values_say_what_is_wrong) {
    static const struct {
        const char *key, *value, *message;
    } bad[] = {
        {"n_steps", "0", "command line: n_steps: 0 is out of range: 1 to 1e9 (an update needs a step)"},
        {"n_steps", "2e9", "out of range"}, {"n_steps", "1.5", "not a whole number"}, {"n_steps", "12x", "not a whole number"},
        {"n_steps", "", "not a whole number"}, {"n_steps", "null", "needs a value (integer)"}, {"n_steps", "nan", "not a whole number"},
        {"n_steps", "99999999999999999999", "too large"}, {"n_timesteps", "0", "at least 1"},
        {"gamma", "0", "above 0, at most 1 (the discount must leave a horizon)"}, {"gamma", "1.01", "out of range"},
        {"gamma", "inf", "not a number"}, {"momentum", "1e39", "single precision"}, {"target_kl", "0", "out of range"},
        {"normalize", "maybe", "neither true nor false"}, {"env", "0123456789012345678901234567890123456789", "longer than 31 bytes"},
        {"env", "\xff", "not UTF-8"}, {"learning_rate", "lin_", "neither a number nor lin_"}, {"learning_rate", "exp_1", "neither"},
        {"learning_rate", "lin_2", "out of range"}, {"activation_fn", "nn.Rellu", "none of tanh, relu, elu; did you mean \"relu\"?"},
        {"net_arch", "[64, x]", "not a whole number"}, {"net_arch", "[0]", "a layer needs a unit"}, {"net_arch", "[64", "net_arch"},
        {"net_arch", "{p: [64]}", "no list \"p\""}, {"net_arch", "{vg: [64]}", "did you mean \"vf\"?"}, {"net_arch", "[[64]]", "whole numbers"},
        {"net_arch", "word", "expected a list"}, {"net_arch", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "more than 16"},
        {"env_kwargs", "novalue", "expected key:value"}, {"env_kwargs", "{a: [1]}", "one word or number"}, {"env_kwargs", ":1", "expected key:value"},
        {"gama", "1", "command line: unknown option \"gama\"; did you mean \"gamma\"?"}, {"xyzzy", "1", "unknown option \"xyzzy\""},
        {"policy_kwarg", "{}", "did you mean \"policy_kwargs\"?"}, {"policy_kwargs", "dict(net_arhc=[64])", "in policy_kwargs; did you mean \"net_arch\"?"},
        {"policy_kwargs", "dict(gamma=1)", "unknown option \"gamma\" in policy_kwargs"}, {"policy_kwargs", "64", "expected a mapping"},
        {"policy_kwargs", "dict(f=exit())", "is code"}, {"sizes", "{a: [1]}", "list of whole numbers"},
    };
    fixture f;
    start(&f);
    config before_c = f.c;
    policy_config before_p = f.p;
    for (size_t i = 0; i < MT_COUNT(bad); i++) {
        cr_expect_eq(set(&f, bad[i].key, bad[i].value), MT_CONFIG, "%s=%s", bad[i].key, bad[i].value);
        expect_message(bad[i].message);
    }
    cr_assert(memcmp(&before_c, &f.c, sizeof f.c) == 0 && memcmp(&before_p, &f.p, sizeof f.p) == 0);
    mt_options_fini(&f.options);
}

Test(option, bad_yaml_says_where) {
    static const struct {
        const char *text, *message;
    } bad[] = {{"gamma: 0.9\nn_stps: 3", "presets/ppo.yml:2:1: unknown option \"n_stps\"; did you mean \"n_steps\"?"},
        {"gamma:\n  [1]", "presets/ppo.yml:2:3: gamma: expected one value (number), found a list"}, {"gamma: {a: 1}", "found a mapping"},
        {"gamma:", "gamma: needs a value"}, {"- gamma", "presets/ppo.yml:1:1: expected \"key: value\""}, {"text", "expected \"key: value\""},
        {"conf_file: x", "belongs on the command line"}, {"policy_kwargs: [1]", "expected a mapping"},
        {"policy_kwargs:\n  act: relu", "presets/ppo.yml:2:3: unknown option \"act\" in policy_kwargs; did you mean \"activation_fn\"?"},
        {"policy_kwargs: \"dict(a=)\"", "presets/ppo.yml:1:"}, {"env_kwargs: [a]", "key: value pairs"}};
    for (size_t i = 0; i < MT_COUNT(bad); i++) {
        fixture f;
        start(&f);
        cr_expect_eq(set_yaml(&f, bad[i].text, MT_FROM_FILE), MT_CONFIG, "%s", bad[i].text);
        expect_message(bad[i].message);
        mt_options_fini(&f.options);
    }
    fixture f;
    start(&f);
    cr_expect_eq(set_yaml(&f, "", MT_FROM_FILE), MT_OK);
    cr_expect_eq(set_yaml(&f, "policy_kwargs:\nenv_kwargs: ~\ntarget_kl: null\n", MT_FROM_FILE), MT_OK, "%s", mt_last_error());
    mt_options_fini(&f.options);
}

Test(option, command_line) {
    fixture f;
    start(&f);
    cr_assert_eq(ARGS(&f, "one", "-n", "5e4", "--gamma=0.5", "--env", "CartPole-v1", "--normalize", "--no-verbose-switch", "--env-kwargs", "g:9.8",
        "url:http://x:1", "-params", "n_steps:16", "policy_kwargs:dict(net_arch=[3])", "--momentum", "-0.5", "-f=a.yml", "--learning_rate", "lin_0.1",
        "--", "-two"), MT_OK, "%s", mt_last_error());
    cr_assert(f.c.n_timesteps == 50000 && f.c.gamma == 0.5 && f.c.normalize && f.c.verbose_switch == 0 && f.c.n_steps == 16 && f.c.momentum == -0.5f);
    cr_assert_str_eq(f.c.env, "CartPole-v1");
    cr_assert_str_eq(f.c.conf_file, "a.yml");
    cr_assert_str_eq(mt_pairs_find(&f.c.env_kwargs, "g"), "9.8");
    cr_assert_str_eq(mt_pairs_find(&f.c.env_kwargs, "url"), "http://x:1");
    cr_assert_null(mt_pairs_find(&f.c.env_kwargs, "x"));
    cr_assert(f.p.net_arch[1].count == 1 && f.p.net_arch[1].items[0] == 3 && f.c.learning_rate.linear);
    cr_assert_eq(positional_count, 2);
    cr_assert_str_eq(positionals[0], "one");
    cr_assert_str_eq(positionals[1], "-two");
    cr_assert(!f.options.help);
    cr_assert_eq(ARGS(&f, "--help", "--timesteps", "7", "-P", "--env-kwargs", "g:1", "--normalize=false"), MT_OK, "%s", mt_last_error());
    cr_assert(f.options.help && f.c.n_timesteps == 7 && f.c.verbose_switch == 1 && !f.c.normalize);
    cr_assert_str_eq(mt_pairs_find(&f.c.env_kwargs, "g"), "1");
    cr_assert_eq(f.c.env_kwargs.count, 2);
    mt_options_fini(&f.options);
}

// a command that is given another command: manta launch -n 4 --mpirun-args "--oversubscribe" train -n 1e6
Test(option, command_lines_of_two_commands) {
    struct launch { int ranks; char words[64]; } c;
    const mt_option table[] = {
        {MT_OPTION(struct launch, ranks), .type = MT_OPT_INT, .letter = 'n', .standard = "0", RUN},
        {MT_OPTION(struct launch, words), .type = MT_OPT_STRING, .flags = MT_OPTION_WORDS, .standard = "", RUN},
    };
    fixture f;
    cr_assert_eq(mt_options_init(&f.options, &(mt_option_section){.table = table, .count = MT_COUNT(table), .object = &c}, 1), MT_OK, "%s", mt_last_error());
    f.options.word_ends_flags = true;
    cr_assert_eq(ARGS(&f, "-n", "4", "--words", "--oversubscribe -x A", "train", "--unknown"), MT_OK, "%s", mt_last_error());
    cr_expect(c.ranks == 4 && strcmp(c.words, "--oversubscribe -x A") == 0, "%d %s", c.ranks, c.words);
    cr_assert_eq(positional_count, 2);
    cr_expect_str_eq(positionals[0], "train");
    cr_expect_str_eq(positionals[1], "--unknown");
    cr_assert_eq(ARGS(&f, "train", "--"), MT_OK);
    cr_expect(positional_count == 2 && strcmp(positionals[1], "--") == 0, "it is the other command's");
    cr_expect_eq(ARGS(&f, "--unknown", "train"), MT_CONFIG);
    cr_expect_eq(ARGS(&f, "--words"), MT_CONFIG);
    mt_options_fini(&f.options);
}

Test(option, bad_command_lines) {
    fixture f;
    start(&f);
#define REFUSE(message, ...)                                                                                           \
    do {                                                                                                               \
        cr_expect_eq(ARGS(&f, __VA_ARGS__), MT_CONFIG, message);                                                       \
        expect_message(message);                                                                                       \
    } while (0)
    REFUSE("unknown flag --gama; did you mean \"--gamma\"?", "--gama", "1");
    REFUSE("did you mean \"--n-steps\"?", "--n-stps=4");
    REFUSE("did you mean \"--normalize\"?", "-normalize");
    REFUSE("did you mean \"--policy-kwargs\"?", "--policy-kwarg", "x");
    REFUSE("unknown flag -z", "-z");
    REFUSE("unknown flag ---", "---");
    REFUSE("unknown flag --=3", "--=3");
    REFUSE("--gamma needs a value (number)", "--gamma");
    REFUSE("needs a value", "--env", "--gamma", "1");
    REFUSE("-params needs key:value", "-params");
    REFUSE("-params needs key:value", "-params", "n_steps");
    REFUSE("--env-kwargs needs key:value", "--env-kwargs", "--gamma=1");
    REFUSE("did you mean \"n_steps\"?", "--hyperparams", "nsteps:3");
    REFUSE("takes no value", "--no-normalize=true");
    REFUSE("--no-normalize for off", "--normalize", "False");
    REFUSE("--normalize for on", "--normalize", "true");
    REFUSE("unknown flag --no-gamma", "--no-gamma");
    REFUSE("unexpected \"c\"", "a", "b", "c");
    REFUSE("neither true nor false", "--normalize=maybe");
    REFUSE("out of range", "-n", "0");
    mt_options_fini(&f.options);
}

static void dump(const fixture *f, mt_text *text) { cr_assert_eq(mt_options_dump_yaml(&f->options, text), MT_OK); }

Test(option, resolved_configuration_loads_back) {
    mt_rng rng = mt_rng_at(5, 1, 0);
    static const char *const strings[] = {"", "null", "a b: #c", "\xc3\xa9\"\\", "1e5", "True", "x\ny"};
    for (int round = 0; round < 300; round++) {
        fixture a, b;
        start(&a);
        start(&b);
        char text[64];
        a.c.n_steps = (int)mt_rng_below(&rng, 1000000) + 1;
        a.c.n_timesteps = (int64_t)(mt_rng_u64(&rng) >> 1) | 1;
        if (a.c.n_timesteps < 1) a.c.n_timesteps = 1;
        a.c.gamma = 1 - mt_rng_uniform(&rng);
        a.c.momentum = (float)mt_rng_normal(&rng);
        a.c.target_kl = round % 2 ? mt_rng_uniform(&rng) : 0;
        a.c.normalize = round % 3 == 0;
        a.c.learning_rate = (mt_schedule){0};
        a.c.learning_rate.value = mt_rng_uniform(&rng) * 1e-6;
        a.c.learning_rate.linear = round % 5 == 0;
        strcpy(a.c.env, strings[round % MT_COUNT(strings)]);
        snprintf(text, sizeof text, "k%d:%s", round, strings[(round + 3) % MT_COUNT(strings)]);
        cr_assert_eq(set(&a, "env_kwargs", text), MT_OK);
        cr_assert_eq(set(&a, "env_kwargs", "y:no"), MT_OK);
        a.p.net_arch[0].count = round % 17;
        for (int i = 0; i < round % 17; i++) a.p.net_arch[0].items[i] = 1 + i;
        a.p.activation_fn = round % 3;
        a.p.log_std_init = mt_rng_normal(&rng);
        mt_text out = {0}, again = {0};
        dump(&a, &out);
        cr_assert_eq(set_yaml(&b, mt_text_str(&out), MT_FROM_FILE), MT_OK, "%s\n%s", mt_last_error(), mt_text_str(&out));
        cr_assert_eq(memcmp(&a.c, &b.c, sizeof a.c), 0, "%s", mt_text_str(&out));
        cr_assert_eq(memcmp(&a.p, &b.p, sizeof a.p), 0, "%s", mt_text_str(&out));
        mt_text_fini(&out);
        mt_text_fini(&again);
        mt_options_fini(&a.options);
        mt_options_fini(&b.options);
    }
}

Test(option, each_value_as_text_reads_back) {
    fixture a, b;
    start(&a);
    start(&b);
    cr_assert_eq(ARGS(&a, "--env", "null", "--gamma", "1e-5", "--env-kwargs", "a:b c", "--net-arch", "[3]", "--learning-rate", "lin_1e-7"), MT_OK);
    for (size_t i = 0; i < MT_COUNT(rows) + MT_COUNT(policy_rows); i++) {
        const char *name = i < MT_COUNT(rows) ? rows[i].name : policy_rows[i - MT_COUNT(rows)].name;
        mt_text text = {0};
        cr_assert_eq(mt_options_get_text(&a.options, name, &text), MT_OK);
        cr_assert_eq(set(&b, name, mt_text_str(&text)), MT_OK, "%s: %s", mt_text_str(&text), mt_last_error());
        mt_text_fini(&text);
    }
    cr_assert(memcmp(&a.c, &b.c, sizeof a.c) == 0 && memcmp(&a.p, &b.p, sizeof a.p) == 0);
    mt_text none = {0};
    cr_assert_eq(mt_options_get_text(&a.options, "nope", &none), MT_CONFIG);
    mt_options_fini(&a.options);
    mt_options_fini(&b.options);
}

Test(option, resolved_configuration_says_where_from) {
    fixture f;
    start(&f);
    cr_assert_eq(set_yaml(&f, "gamma: 0.5", MT_FROM_PRESET), MT_OK);
    cr_assert_eq(set(&f, "n", "5"), MT_CONFIG);
    cr_assert_eq(mt_options_set_text(&f.options, "n_steps", "5", MT_FROM_COMMAND_LINE, "evil\nkey: 1"), MT_OK);
    mt_text text = {0};
    dump(&f, &text);
    cr_expect_not_null(strstr(mt_text_str(&text), "gamma: 0.5                                   # presets/ppo.yml:1\n"));
    cr_expect_not_null(strstr(mt_text_str(&text), "# evil?key: 1\n"));
    cr_expect_not_null(strstr(mt_text_str(&text), "policy_kwargs:\n  net_arch: {shared: [], pi: [64, 64], vf: [64, 64]}"));
    cr_expect_not_null(strstr(mt_text_str(&text), "target_kl: null"));
    cr_expect_null(strstr(mt_text_str(&text), "conf_file"));
    mt_text_fini(&text);
    char where[400];
    memset(where, 'p', sizeof where);
    strcpy(where + 390, "end:7");
    cr_assert_eq(mt_options_set_text(&f.options, "n_steps", "5", MT_FROM_COMMAND_LINE, where), MT_OK);
    cr_assert_not_null(strstr(mt_options_origin(&f.options, "n_steps")->where, "end:7"));
    mt_options_fini(&f.options);
}

Test(option, help_and_documents) {
    fixture f;
    start(&f);
    mt_text help = {0}, markdown = {0}, man = {0}, bash = {0};
    mt_options_help_text(&f.options, &help);
    const char *text = mt_text_str(&help);
    cr_expect_not_null(strstr(text, "Run:\n"));
    cr_expect_not_null(strstr(text, "  -n, --n-timesteps N         what it does [1e5; at least 1]\n"), "%s", text);
    cr_expect_not_null(strstr(text, "[2048 steps; 1 to 1e9]"));
    cr_expect_not_null(strstr(text, "--activation-fn tanh|relu|elu"));
    cr_expect_null(strstr(text, "--sizes"));
    for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) cr_expect_leq(end - line, 104, "%.*s", (int)(end - line), line);
    mt_options_dump_markdown(&f.options, &markdown);
    cr_expect_not_null(strstr(mt_text_str(&markdown), "| `policy_kwargs.activation_fn` | `--activation-fn` | `tanh`, `relu`, `elu` | `tanh` |"));
    cr_expect_not_null(strstr(mt_text_str(&markdown), "a \\| b"));
    mt_options_dump_man(&f.options, &man);
    cr_expect_not_null(strstr(mt_text_str(&man), ".TP\n\\fB\\-n\\fR, \\fB\\-\\-n\\-timesteps\\fR \\fIN\\fR\n"));
    mt_options_dump_bash(&f.options, "manta_train", &bash);
    cr_expect_not_null(strstr(mt_text_str(&bash), "_manta_train_flags=\"--n-steps --n-timesteps -n "));
    cr_expect_not_null(strstr(mt_text_str(&bash), "-f|--conf-file) echo \"<file>\" ;;"));
    mt_text_fini(&help);
    mt_text_fini(&markdown);
    mt_text_fini(&man);
    mt_text_fini(&bash);
    mt_options_fini(&f.options);
}

static void refuse_table(const mt_option *table, size_t count, const char *message) {
    config c;
    mt_options options;
    mt_option_section section = {.table = table, .count = count, .object = &c};
    cr_expect_eq(mt_options_init(&options, &section, 1), MT_INTERNAL, "%s", message);
    expect_message(message);
}

Test(option, bad_tables_are_found_at_start) {
#define ONE(message, ...) refuse_table((const mt_option[]){{__VA_ARGS__}}, 1, message)
    ONE("cannot hold", MT_OPTION(config, n_steps), .type = MT_OPT_SCHEDULE, .standard = "1", RUN);
    ONE("cannot hold", MT_OPTION(config, env), .type = MT_OPT_INT, .standard = "1", RUN);
    ONE("no default", MT_OPTION(config, n_steps), .type = MT_OPT_INT, RUN);
    ONE("no help", MT_OPTION(config, n_steps), .type = MT_OPT_INT, .standard = "1");
    ONE("not of the form", MT_OPTION(config, n_steps), .type = MT_OPT_INT, .standard = "1", .range = "1..2", .why = "w", RUN);
    ONE("not of the form", MT_OPTION(config, n_steps), .type = MT_OPT_INT, .standard = "1", .range = "[2, 1]", .why = "w", RUN);
    ONE("no reason", MT_OPTION(config, n_steps), .type = MT_OPT_INT, .standard = "1", .range = "[1, 2]", RUN);
    ONE("default of option n_steps: 3 is out of range", MT_OPTION(config, n_steps), .type = MT_OPT_INT, .standard = "3", .range = "[1, 2]", .why = "w", RUN);
    ONE("cannot hold", MT_OPTION(config, n_steps), .type = MT_OPT_CHOICE, .standard = "3", RUN);
    const mt_option twice[] = {{MT_OPTION(config, n_steps), .type = MT_OPT_INT, .standard = "1", RUN}, {MT_OPTION(config, n_steps), .type = MT_OPT_INT, .standard = "1", RUN}};
    refuse_table(twice, 2, "twice");
    const mt_option letters[] = {{MT_OPTION(config, n_steps), .letter = 'n', .type = MT_OPT_INT, .standard = "1", RUN},
        {MT_OPTION(config, gamma), .letter = 'n', .type = MT_OPT_FLOAT, .standard = "1", RUN}};
    refuse_table(letters, 2, "both -n");
    const mt_option aliases[] = {{MT_OPTION(config, n_steps), .aliases = "a b", .type = MT_OPT_INT, .standard = "1", RUN},
        {MT_OPTION(config, gamma), .aliases = "c b", .type = MT_OPT_FLOAT, .standard = "1", RUN}};
    refuse_table(aliases, 2, "both called b");
}

// a fuzzer in small: any text for any key leaves a value in range or the old one
Test(option, random_text) {
    static const char alphabet[] = "0123456789.e-+[]{}(),:=' \"dictlnpvfarelu_NTo\n\xc3\xa9";
    fixture f;
    start(&f);
    mt_rng rng = mt_rng_at(6, 1, 0);
    for (int i = 0; i < 20000; i++) {
        char text[40];
        size_t n = mt_rng_below(&rng, sizeof text);
        for (size_t k = 0; k < n; k++) text[k] = alphabet[mt_rng_below(&rng, sizeof alphabet - 1)];
        text[n] = 0;
        size_t at = mt_rng_below(&rng, MT_COUNT(rows) + MT_COUNT(policy_rows) + 1);
        const char *key = at < MT_COUNT(rows) ? rows[at].name : at == MT_COUNT(rows) ? "policy_kwargs" : policy_rows[at - MT_COUNT(rows) - 1].name;
        mt_status status = set(&f, key, text);
        bool typed = status == MT_OK || status == MT_CONFIG;
        bool in_range = f.c.n_steps >= 1 && f.c.gamma > 0 && f.c.gamma <= 1 && f.p.activation_fn >= 0 && f.p.activation_fn < 3;
        if (!typed || !in_range) cr_assert_fail("%s=%s: %s", key, text, mt_last_error());
    }
    mt_options_fini(&f.options);
}

Test(option, schedules) {
    mt_schedule constant = {.value = 2}, linear = {.value = 2, .linear = 1};
    cr_assert_eq(mt_schedule_at(constant, 0.25), 2);
    cr_assert_eq(mt_schedule_at(linear, 0.25), 0.5);
}
