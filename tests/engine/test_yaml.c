// yaml.h: trees, positions, limits, hostile input, Python literals, the scalar writer.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/option.h"
#include "engine/base/rng.h"
#include "engine/base/yaml.h"

static mt_status load(const char *text, mt_yaml **doc) { return mt_yaml_load_text(text, strlen(text), "t.yml", NULL, doc); }

static mt_yaml *must_load(const char *text) {
    mt_yaml *doc = NULL;
    cr_assert_eq(load(text, &doc), MT_OK, "%s", mt_last_error());
    return doc;
}

static void refuse(const char *text, const char *message) {
    mt_yaml *doc = (mt_yaml *)1;
    cr_expect_eq(load(text, &doc), MT_CONFIG, "accepted: %s", text);
    cr_expect_null(doc);
    cr_expect_not_null(strstr(mt_last_error(), message), "%s\n gives: %s", text, mt_last_error());
}

Test(yaml, a_tree) {
    mt_yaml *doc = must_load("# preset\nn_steps: 32\nlr: !!float 1e-3\nenvs: [a, 'b']\nnested:\n  deep: {x: 1}\nnone: ~\n");
    const mt_yaml_node *root = mt_yaml_root(doc);
    cr_assert_eq(root->kind, MT_YAML_MAPPING);
    cr_assert_eq(root->count, 5);
    int64_t steps;
    double rate;
    cr_assert_eq(mt_yaml_i64(mt_yaml_find(root, "n_steps"), &steps), MT_OK);
    cr_assert_eq(steps, 32);
    cr_assert_eq(mt_yaml_f64(mt_yaml_find(root, "lr"), &rate), MT_OK);
    cr_assert_eq(rate, 1e-3);
    cr_assert_str_eq(mt_yaml_find(root, "lr")->tag, "!!float");
    const mt_yaml_node *envs = mt_yaml_find(root, "envs");
    cr_assert_eq(envs->kind, MT_YAML_SEQUENCE);
    cr_assert_eq(envs->line, 4);
    cr_assert_eq(envs->column, 7);
    cr_assert_str_eq(envs->items[1]->text, "b");
    cr_assert(envs->items[1]->quoted && !envs->items[0]->quoted);
    cr_assert_str_eq(mt_yaml_find(mt_yaml_find(mt_yaml_find(root, "nested"), "deep"), "x")->text, "1");
    cr_assert(mt_yaml_is_null(mt_yaml_find(root, "none")));
    cr_assert_null(mt_yaml_find(root, "absent"));
    cr_assert_null(mt_yaml_find(envs, "a"));
    mt_yaml_destroy(doc);
}

Test(yaml, empty_files_are_null) {
    static const char *const texts[] = {"", "\n", "# only a comment\n", "---\n", "~", "\xef\xbb\xbf"};
    for (size_t i = 0; i < MT_COUNT(texts); i++) {
        mt_yaml *doc = must_load(texts[i]);
        cr_expect(mt_yaml_is_null(mt_yaml_root(doc)), "%zu", i);
        mt_yaml_destroy(doc);
    }
    mt_yaml *doc = must_load("''");
    cr_expect(!mt_yaml_is_null(mt_yaml_root(doc)));
    mt_yaml_destroy(doc);
}

Test(yaml, anchors_and_merge_keys_as_in_the_zoo) {
    mt_yaml *doc = must_load("base: &base\n  a: 1\n  b: 2\nother: &o {c: 3, a: 9}\nenv:\n  <<: *base\n  b: 5\n"
                             "two:\n  <<: [*base, *o]\nsame: *base\n");
    const mt_yaml_node *root = mt_yaml_root(doc), *env = mt_yaml_find(root, "env"), *two = mt_yaml_find(root, "two");
    cr_assert_eq(env->count, 2);
    cr_assert_str_eq(mt_yaml_find(env, "a")->text, "1");
    cr_assert_str_eq(mt_yaml_find(env, "b")->text, "5");
    cr_assert_eq(two->count, 3);
    cr_assert_str_eq(mt_yaml_find(two, "a")->text, "1");
    cr_assert_str_eq(mt_yaml_find(two, "c")->text, "3");
    cr_assert_eq(mt_yaml_find(root, "same"), mt_yaml_find(root, "base"));
    mt_yaml_destroy(doc);
}

Test(yaml, bad_text_says_where) {
    refuse("a: 1\na: 2\n", "t.yml:2:1: key \"a\" appears twice (first at line 1)");
    refuse("a: [1, 2\n", "t.yml:");
    refuse("a: b: c\n", "t.yml:1:");
    refuse("\ta: 1\n", "t.yml:1:1");
    refuse("a: *nowhere\n", "t.yml:1:4: *nowhere");
    refuse("a: &x [*x]\n", "*x refers to no complete value");
    refuse("? [a, b]\n: 1\n", "a key must be one word");
    refuse("a: 1\n---\nb: 2\n", "second document");
    refuse("a: \"x\\0y\"\n", "NUL");
    refuse("a: \xff\n", "UTF-8");
    refuse("<<: 3\n", "merges a mapping");
    refuse("<<: [3]\n", "merges a mapping");
    refuse("a: \"unclosed", "t.yml:1");
    refuse("a: 'x' 'y'", "t.yml:1:8");
    refuse("%YAML 9.0\n---\na: 1\n", "t.yml:1");
    refuse("]", "t.yml:1:1");
}

Test(yaml, billion_laughs_and_other_bombs) {
    mt_text text = {0};
    mt_text_append(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 10; i++) {
        mt_text_printf(&text, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++) mt_text_printf(&text, "*a%d%s", i - 1, k < 9 ? ", " : "]\n");
    }
    refuse(mt_text_str(&text), "more than 100000 values");
    mt_text_clear(&text);
    for (int i = 0; i < 100000; i++) mt_text_append(&text, "[");
    refuse(mt_text_str(&text), "nested deeper than 32");
    mt_text_clear(&text);
    for (int i = 0; i < 200; i++) mt_text_printf(&text, "%*sa:\n", i, "");
    refuse(mt_text_str(&text), "nested deeper than 32");
    mt_text_clear(&text);
    for (int i = 0; i < 5000; i++) mt_text_printf(&text, "k%d: 1\n", i);
    refuse(mt_text_str(&text), "more than 1024 keys");
    mt_text_clear(&text);
    for (int i = 0; i < 3000; i++) mt_text_printf(&text, "- &k%d 1\n", i);
    refuse(mt_text_str(&text), "more than 1024 anchors");
    mt_text_clear(&text);
    mt_text_append(&text, "base: &b {");
    for (int i = 0; i < 1000; i++) mt_text_printf(&text, "k%d: 1, ", i);
    mt_text_append(&text, "}\nlist:\n");
    for (int i = 0; i < 50000; i++) mt_text_append(&text, "- {<<: *b}\n");
    refuse(mt_text_str(&text), "more than 100000 values");
    mt_text_fini(&text);
}

Test(yaml, limits_are_the_callers) {
    mt_yaml *doc = NULL;
    mt_yaml_limits limits = {.bytes = 10};
    cr_assert_eq(mt_yaml_load_text("a: 12345678", 11, "x", &limits, &doc), MT_CONFIG);
    limits = (mt_yaml_limits){.nodes = 3};
    cr_assert_eq(mt_yaml_load_text("a: 1", 4, "x", &limits, &doc), MT_OK);
    mt_yaml_destroy(doc);
    cr_assert_eq(mt_yaml_load_text("a: [1]", 6, "x", &limits, &doc), MT_CONFIG);
    limits = (mt_yaml_limits){.depth = 1};
    cr_assert_eq(mt_yaml_load_text("a: [1]", 6, "x", &limits, &doc), MT_CONFIG);
}

Test(yaml, typed_reads_say_where) {
    mt_yaml *doc = must_load("a: x1\nb: [1]\n");
    const mt_yaml_node *root = mt_yaml_root(doc);
    int64_t i;
    double d;
    bool b;
    const char *s;
    cr_assert_eq(mt_yaml_i64(mt_yaml_find(root, "a"), &i), MT_CONFIG);
    cr_assert_str_eq(mt_last_error(), "t.yml:1:4: \"x1\" is not a whole number");
    cr_assert_eq(mt_yaml_f64(mt_yaml_find(root, "b"), &d), MT_CONFIG);
    cr_assert_str_eq(mt_last_error(), "t.yml:2:4: expected one value, found a list");
    cr_assert_eq(mt_yaml_bool(mt_yaml_find(root, "a"), &b), MT_CONFIG);
    cr_assert_eq(mt_yaml_string(root, &s), MT_CONFIG);
    mt_yaml_destroy(doc);
}

Test(yaml, files) {
    mt_yaml *doc = NULL;
    cr_assert_eq(mt_yaml_load_file("/nonexistent/x.yml", NULL, &doc), MT_NOT_FOUND);
    cr_assert_not_null(strstr(mt_last_error(), "/nonexistent/x.yml"));
    cr_assert_eq(mt_yaml_load_file("/", NULL, &doc), MT_INVALID_ARGUMENT);
}

// ---- Python literals ----

Test(pydict, the_zoos_policy_kwargs) {
    mt_yaml *doc = NULL;
    cr_assert_eq(mt_yaml_parse_pydict("dict(log_std_init=-2, ortho_init=False, activation_fn=nn.ReLU, "
                                      "net_arch=dict(pi=[256, 256], vf=[256, 256]))", "p.yml", 7, 3, &doc), MT_OK, "%s", mt_last_error());
    const mt_yaml_node *root = mt_yaml_root(doc);
    cr_assert_eq(root->count, 4);
    cr_assert_str_eq(mt_yaml_find(root, "log_std_init")->text, "-2");
    cr_assert_str_eq(mt_yaml_find(root, "activation_fn")->tag, "!name");
    cr_assert_str_eq(mt_yaml_find(root, "ortho_init")->tag, "");
    cr_assert_eq(mt_yaml_find(mt_yaml_find(root, "net_arch"), "vf")->count, 2);
    cr_assert_eq(mt_yaml_find(root, "ortho_init")->line, 7);
    cr_assert_eq(mt_yaml_find(root, "log_std_init")->column, 3 + 18);
    mt_yaml_destroy(doc);
}

Test(pydict, literals) {
    static const char *const good[] = {"dict()", "{}", "[]", "()", "(1,)", " { 'a' : 1 , \"b\":None, } ", "dict(\n  a=1,\n  b=(2, 3))", "'it\\'s'",
        "-1e-5", "+.5", "[[1], dict(x=1e+3)]", "True", "a.b.c", "{1: 2}"};
    for (size_t i = 0; i < MT_COUNT(good); i++) {
        mt_yaml *doc = NULL;
        cr_expect_eq(mt_yaml_parse_pydict(good[i], "s", 1, 1, &doc), MT_OK, "%s: %s", good[i], mt_last_error());
        mt_yaml_destroy(doc);
    }
}

Test(pydict, nothing_else) {
    static const struct {
        const char *text, *message;
    } bad[] = {{"", "found the end"}, {"dict(", "found the end"}, {"dict(a)", "expected \"=\""}, {"dict(a=1", "expected \",\" or \")\""},
        {"dict('a'=1)", "expected name=value"}, {"{a=1}", "expected \":\""}, {"[1 2]", "expected \",\" or \"]\""}, {"[1", "found the end"},
        {"__import__('os').system('x')", "is code and is not run"}, {"dict(a=f(1))", "is code and is not run"}, {"lambda: 1", "expected the end"},
        {"1 + 1", "expected the end"}, {"'open", "has no end"}, {"'\\x41'", "only"}, {"dict(a=1, a=2)", "appears twice"},
        {"12abc", "not a number"}, {"1e", "not a number"}, {"[,]", "expected a value"}, {"dict(a=1) x", "expected the end"}, {"-", "not a number"},
        {"--1", "not a number"}, {"{'a': }", "expected a value"}, {"@", "expected a value"}};
    for (size_t i = 0; i < MT_COUNT(bad); i++) {
        mt_yaml *doc = NULL;
        cr_expect_eq(mt_yaml_parse_pydict(bad[i].text, "s", 1, 1, &doc), MT_CONFIG, "%s", bad[i].text);
        cr_expect_not_null(strstr(mt_last_error(), bad[i].message), "%s: %s", bad[i].text, mt_last_error());
        cr_expect_null(doc);
    }
    char deep[4001];
    memset(deep, '[', 4000);
    deep[4000] = 0;
    mt_yaml *doc = NULL;
    cr_expect_eq(mt_yaml_parse_pydict(deep, "s", 1, 1, &doc), MT_CONFIG);
    cr_expect_not_null(strstr(mt_last_error(), "nested deeper"));
    memset(deep, 'a', 4000);
    cr_expect_eq(mt_yaml_parse_pydict(deep, "s", 1, 1, &doc), MT_CONFIG);
}

// ---- writer ----

static void round_trip(const char *string) {
    mt_text text = {0};
    mt_text_append(&text, "key: ");
    mt_yaml_write_string(&text, string);
    mt_text_append(&text, "  # a comment\n");
    mt_yaml *doc = NULL;
    if (load(mt_text_str(&text), &doc) != MT_OK) cr_assert_fail("%s: %s", mt_text_str(&text), mt_last_error());
    const mt_yaml_node *node = mt_yaml_find(mt_yaml_root(doc), "key");
    if (!node || strcmp(node->text, string) != 0 || mt_yaml_is_null(node)) cr_assert_fail("does not read back: %s", mt_text_str(&text));
    mt_yaml_destroy(doc);
    mt_text_fini(&text);
}

Test(writer, reads_back) {
    static const char *const strings[] = {"", "plain", "CartPole-v1", "a b", " a", "a ", "#no", "a: b", "- x", "true", "No", "null", "~", "1", "1e5", "0x1f",
        "2001-01-01", "1:30", "[a]", "{a}", "*a", "&a", "!t", "|", ">", "%x", "@x", "`x", "'q'", "\"q\"", "back\\slash", "line\nbreak", "tab\there", "\x01\x1f\x7f",
        "h\xc3\xa9llo", "\xf0\x9f\x90\x9f", "\xc2\x85", "\xe2\x80\xa8", "\xef\xbb\xbf", "\xef\xbf\xbe", "\xef\xbf\xbf", "y", "N", ".inf", "<<", "=", "---", "...", "/a/b.c", "?", "key:", "-",
        "trailing\n\n", "a #b", "a,b", "off"};
    for (size_t i = 0; i < MT_COUNT(strings); i++) round_trip(strings[i]);
    mt_rng rng = mt_rng_at(1, 2, 0);
    for (int i = 0; i < 3000; i++) {
        char random[24];
        size_t n = mt_rng_below(&rng, sizeof random);
        for (size_t k = 0; k < n; k++) random[k] = (char)(1 + mt_rng_below(&rng, 127));
        random[n] = 0;
        round_trip(random);
    }
}

// what a fuzzer does, briefly: flipped bytes of a real preset must load or fail, never crash
Test(yaml, damaged_text) {
    static const char preset[] = "CartPole-v1: &c\n  n_envs: 8\n  lr: lin_0.001\n  kw: \"dict(net_arch=[64, 64])\"\nX:\n  <<: *c\n  l: [1, 'a', {b: !!float 3}]\n";
    mt_rng rng = mt_rng_at(3, 2, 0);
    for (int i = 0; i < 20000; i++) {
        char text[sizeof preset];
        memcpy(text, preset, sizeof preset);
        for (uint32_t k = 0; k <= mt_rng_below(&rng, 4); k++)
            text[mt_rng_below(&rng, sizeof preset - 1)] = (char)(k % 2 ? mt_rng_below(&rng, 256) : (uint32_t)"\n :[]{}&*!|>'\"%@`,#-?<"[mt_rng_below(&rng, 22)]);
        mt_yaml *doc = NULL;
        mt_yaml_load_text(text, sizeof preset - 1, "f", NULL, &doc);
        mt_yaml_destroy(doc);
        char *py = text + 60;
        text[sizeof preset - 1] = 0;
        if (mt_yaml_parse_pydict(py, "f", 1, 1, &doc) == MT_OK) mt_yaml_destroy(doc);
    }
}
