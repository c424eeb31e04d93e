// program.h: numbers, names, what is wrong with a program.
#include <criterion/criterion.h>
#include <string.h>
#include "engine/runtime/api/program.h"
#include "engine/runtime/wire.h"

static int nothing(manta_context *c) { return (void)c, MANTA_OK; }

static const manta_task tasks[] = {{"add", nothing, "i64, i64 -> i64"}, {"sum", nothing, "i64, ... -> i64"}};
static const manta_method methods[] = {{"add", nothing, "i64"}, {"reset", nothing, NULL}};
static const manta_class classes[] = {
    {.name = "Bare"}, {.name = "Counter", .create = nothing, .create_signature = "i64", .methods = methods, .method_count = 2}};
static const manta_program good = {.tasks = tasks, .task_count = 2, .classes = classes, .class_count = 2};

Test(program, finds_by_name_and_by_number) {
    mt_program *p;
    cr_assert_eq(mt_program_create(&good, &p), MT_OK, "%s", mt_last_error());
    cr_assert_eq(mt_program_task(p, "sum")->number, 1);
    cr_assert_eq(mt_program_task(p, "Counter"), NULL);
    cr_assert_eq(mt_program_task(p, NULL), NULL);
    cr_assert_eq(mt_program_class_named(p, "Counter")->class_number, 1);
    cr_assert_eq(mt_program_method(p, 1, "reset")->number, 1);
    cr_assert_str_eq(mt_program_method(p, 1, "add")->name, "Counter.add");
    cr_assert_eq(mt_program_method(p, 0, "add"), NULL, "another class's");
    cr_assert_eq(mt_program_function(p, MT_CALL_TASK, 0, 1), mt_program_task(p, "sum"));
    cr_assert_eq(mt_program_function(p, MT_CALL_METHOD, 1, 0), mt_program_method(p, 1, "add"));
    cr_assert_eq(mt_program_function(p, MT_CALL_CREATE, 1, 77), mt_program_class_named(p, "Counter"));
    // numbers come from other ranks
    cr_assert_eq(mt_program_function(p, MT_CALL_TASK, 0, 2), NULL);
    cr_assert_eq(mt_program_function(p, MT_CALL_METHOD, 2, 0), NULL);
    cr_assert_eq(mt_program_function(p, MT_CALL_METHOD, UINT32_MAX, 0), NULL);
    cr_assert_eq(mt_program_function(p, MT_CALL_METHOD, 1, 2), NULL);
    cr_assert_str_eq(mt_program_nearest(p, MT_CALL_METHOD, 1, "rest"), "reset");
    cr_assert_eq(mt_program_nearest(p, MT_CALL_METHOD, 7, "rest"), NULL);
    mt_program_destroy(p);
    mt_program_destroy(NULL);
}

Test(program, differs_from_another) {
    mt_program *a, *b;
    manta_program other = good;
    other.task_count = 1;
    cr_assert_eq(mt_program_create(&good, &a), MT_OK);
    cr_assert_eq(mt_program_create(&other, &b), MT_OK);
    cr_assert_neq(a->digest, b->digest);
    mt_program_destroy(a);
    mt_program_destroy(b);
    cr_assert_eq(mt_program_create(&(manta_program){0}, &a), MT_OK, "an empty one is one");
    mt_program_destroy(a);
}

Test(program, says_which_entry_is_wrong) {
    static const struct {
        manta_task task;
        const char *words;
    } bad[] = {
        {{"add", nothing, ""}, "twice"},
        {{"", nothing, ""}, "no name"},
        {{NULL, nothing, ""}, "no name"},
        {{"mul", NULL, ""}, "no function"},
        {{"mul", nothing, "i64, q"}, "mul"},
        {{"a name that is longer than any name of a function has to be", nothing, ""}, "at most"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        manta_task three[] = {tasks[0], tasks[1], bad[i].task};
        mt_program *p;
        cr_assert_eq(mt_program_create(&(manta_program){.tasks = three, .task_count = 3}, &p), MT_CONFIG, "%zu", i);
        cr_assert_null(p);
        cr_assert(strstr(mt_last_error(), bad[i].words), "%s", mt_last_error());
    }
    manta_class twice[] = {classes[0], classes[0]};
    manta_class result[] = {{.name = "R", .create = nothing, .create_signature = "-> i64"}};
    manta_class nameless[] = {{.name = "N", .methods = (manta_method[]){{NULL, nothing, ""}}, .method_count = 1}};
    manta_class bodiless[] = {{.name = "N", .methods = (manta_method[]){{"m", NULL, ""}}, .method_count = 1}};
    manta_class listless[] = {{.name = "N", .method_count = 1}};
    mt_program *p;
    cr_assert_eq(mt_program_create(&(manta_program){.classes = twice, .class_count = 2}, &p), MT_CONFIG);
    cr_assert_eq(mt_program_create(&(manta_program){.classes = result, .class_count = 1}, &p), MT_CONFIG);
    cr_assert_eq(mt_program_create(&(manta_program){.classes = nameless, .class_count = 1}, &p), MT_CONFIG);
    cr_assert_eq(mt_program_create(&(manta_program){.classes = bodiless, .class_count = 1}, &p), MT_CONFIG);
    cr_assert_eq(mt_program_create(&(manta_program){.classes = listless, .class_count = 1}, &p), MT_CONFIG);
    cr_assert_eq(mt_program_create(&(manta_program){.task_count = 1}, &p), MT_CONFIG);
}
