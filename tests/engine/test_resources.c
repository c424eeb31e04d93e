// resources.h: names, arithmetic, what users write.
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>
#include "engine/runtime/resources.h"

Test(resources, names) {
    mt_resource_names names;
    mt_resource_names_init(&names);
    cr_assert_eq(mt_resource_number(&names, "cpu"), MT_RESOURCE_CPU);
    cr_assert_eq(mt_resource_number(&names, "Memory"), MT_RESOURCE_MEMORY);
    cr_assert_eq(mt_resource_number(&names, "tpu"), -1);
    cr_assert_eq(mt_resource_number(&names, NULL), -1);
    int number;
    cr_assert_eq(mt_resource_add(&names, "tpu", &number), MT_OK);
    cr_assert_eq(number, MT_RESOURCE_CUSTOM);
    cr_assert_eq(mt_resource_add(&names, "tpu", &number), MT_OK);
    cr_assert_eq(names.count, MT_RESOURCE_CUSTOM + 1);
    cr_assert_eq(mt_resource_number(&names, "TPU"), -1, "custom names keep their case");
    cr_assert_eq(mt_resource_add(&names, "GPU", &number), MT_OK);
    cr_assert_eq(number, MT_RESOURCE_GPU);
    static const char *const bad[] = {"", "1a", "a b", "a=b", "a,b", "a123456789012345678901234567890123"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) cr_assert_eq(mt_resource_add(&names, bad[i], &number), MT_CONFIG, "%s", bad[i]);
    for (int i = names.count; i < MT_RESOURCES; i++) {
        char name[8] = {'r', (char)('0' + i)};
        cr_assert_eq(mt_resource_add(&names, name, &number), MT_OK);
    }
    cr_assert_eq(mt_resource_add(&names, "more", &number), MT_CONFIG);
    cr_assert(strstr(mt_last_error(), "more"));
}

Test(resources, arithmetic) {
    mt_resources have = {{40000, 10000, 1000}}, want = {{20000, 5000, 1000}}, none = {{0}};
    cr_assert(mt_resources_fit(&want, &have));
    cr_assert(mt_resources_fit(&none, &none));
    mt_resources_subtract(&have, &want);
    cr_assert(!mt_resources_fit(&want, &have), "memory is used up");
    mt_resources_add(&have, &want);
    cr_assert_eq(have.amount[0], 40000);
    // what is lent beyond what there is (CPUs of blocked tasks) does not keep others from taking none of it
    have.amount[0] = -10000;
    cr_assert(mt_resources_fit(&(mt_resources){{0, 5000}}, &have));
    cr_assert(mt_resources_zero(&none) && !mt_resources_zero(&have));
}

Test(resources, units) {
    static const struct { double amount; int64_t units; } cases[] = {{1, MT_RESOURCE_UNIT}, {0.1, MT_RESOURCE_UNIT / 10},
        {1e-9, 1}, {-3, 0}, {NAN, 0}, {INFINITY, MT_RESOURCE_MOST}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mt_resources a = {0};
        mt_resources_ask(&a, MT_RESOURCE_CPU, cases[i].amount);
        cr_assert_eq(a.amount[MT_RESOURCE_CPU], cases[i].units, "%g", cases[i].amount);
    }
    mt_resources much = {0};
    for (int i = 0; i < 3; i++) mt_resources_ask(&much, MT_RESOURCE_MEMORY, 0x1p47);
    cr_assert_eq(much.amount[MT_RESOURCE_MEMORY], MT_RESOURCE_MOST, "saturates");
    cr_assert(mt_resources_in_range(&much));
    much.amount[MT_RESOURCE_MEMORY]++;
    cr_assert(!mt_resources_in_range(&much));
    cr_assert(!mt_resources_in_range(&(mt_resources){{0, -1}}));
}

Test(resources, format) {
    static const struct { int number; int64_t amount; const char *text; } cases[] = {
        {MT_RESOURCE_CPU, 20000, "2"}, {MT_RESOURCE_GPU, 5000, "0.5"}, {MT_RESOURCE_CPU, 0, "0"},
        {MT_RESOURCE_MEMORY, INT64_C(3) << 29, "1.5 GiB"}, {MT_RESOURCE_MEMORY, 512, "512 B"},
        {MT_RESOURCE_MEMORY, 1 << 20, "1 MiB"}, {MT_RESOURCE_CUSTOM, 12500, "1.25"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[32];
        mt_resource_format(cases[i].number, cases[i].amount, out, sizeof out);
        cr_assert_str_eq(out, cases[i].text);
    }
}

Test(resources, parse) {
    mt_resource_names names;
    mt_resource_names_init(&names);
    mt_resources out = {{80000, 20000, 77}};
    cr_assert_eq(mt_resources_parse("cpu=4,memory=2G,tpu=1,slot=0.25", &names, &out), MT_OK, "%s", mt_last_error());
    cr_assert_eq(out.amount[MT_RESOURCE_CPU], 40000);
    cr_assert_eq(out.amount[MT_RESOURCE_GPU], 20000, "not named: as found");
    cr_assert_eq(out.amount[MT_RESOURCE_MEMORY], INT64_C(2) << 30);
    cr_assert_eq(out.amount[mt_resource_number(&names, "tpu")], 10000);
    cr_assert_eq(out.amount[mt_resource_number(&names, "slot")], 2500);
    cr_assert_eq(mt_resources_parse("", &names, &out), MT_OK);
    static const struct { const char *text; int64_t bytes; } memory[] = {
        {"memory=512M", INT64_C(512) << 20}, {"memory=1.5GiB", INT64_C(3) << 29}, {"memory=1e9", 1000000000},
        {"memory=7B", 7}, {"memory=2 GB", INT64_C(2) << 30}, {"memory=4k", 4096},
    };
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) {
        cr_assert_eq(mt_resources_parse(memory[i].text, &names, &out), MT_OK, "%s", memory[i].text);
        cr_assert_eq(out.amount[MT_RESOURCE_MEMORY], memory[i].bytes, "%s", memory[i].text);
    }
    static const char *const bad[] = {"cpu", "cpu=", "cpu=x", "cpu=-1", "cpu=1,", ",cpu=1", "cpu=1,,gpu=1", "gpu=0.5", "gpu=1.5", "GPU=17", "=1", "1x=2",
        "memory=2Q", "memory=-1", "memory=", "memory=9999999T", "cpu=inf", "cpu=1e12"};
    int before_count = names.count;
    mt_resources before = out;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(mt_resources_parse(bad[i], &names, &out), MT_CONFIG, "%s", bad[i]);
        cr_assert_eq(memcmp(&before, &out, sizeof out), 0, "%s changed something", bad[i]);
    }
    cr_assert_eq(mt_resources_parse("new=1,cpu=x", &names, &out), MT_CONFIG);
    cr_assert_eq(names.count, before_count, "both or none");
}
