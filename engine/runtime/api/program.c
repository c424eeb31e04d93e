// A program's tables. Built by the main thread, read by every thread.
#include "engine/runtime/api/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/text.h"
#include "engine/runtime/wire.h"

// scope: 1 tasks, 2 classes, 3 + class number for methods: one table holds them all
enum { SCOPE_TASK = 1, SCOPE_CLASS = 2, SCOPE_METHOD = 3 };

// FNV-1a, seeded by the scope; never 0
static uint64_t hash_of(uint64_t scope, const char *name) {
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ (scope * UINT64_C(0x9e3779b97f4a7c15));
    for (; *name; name++) h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return h | 1;
}

static const mt_function *find(const mt_program *p, uint64_t scope, const char *name) {
    if (!name) return NULL;
    uint64_t h = hash_of(scope, name);
    for (uint32_t i = (uint32_t)(h >> 20);; i++) {
        const struct mt_program_slot *slot = &p->slots[i & p->slot_mask];
        if (!slot->hash) return NULL;
        if (slot->hash == h && strcmp(slot->key, name) == 0) return slot->function;
    }
}

static void insert(mt_program *p, uint64_t scope, const char *name, const mt_function *function) {
    uint64_t h = hash_of(scope, name);
    uint32_t i = (uint32_t)(h >> 20);
    while (p->slots[i & p->slot_mask].hash) i++;
    p->slots[i & p->slot_mask] = (struct mt_program_slot){.hash = h, .function = function, .key = name};
    p->digest = p->digest * UINT64_C(0x9e3779b97f4a7c15) + h;
}

static mt_status function_init(mt_function *f, const char *owner, const char *name, manta_function *run, int number,
    int class_number, const char *signature) {
    snprintf(f->name, sizeof f->name, "%s%s%s", owner ? owner : "", owner ? "." : "", name);
    f->run = run;
    f->number = number;
    f->class_number = class_number;
    mt_status status = mt_signature_parse(signature, &f->signature);
    return status == MT_OK ? MT_OK : mt_fail_context(status, "%s: ", f->name);
}

static mt_status name_check(mt_program *p, uint64_t scope, const char *what, size_t number, const char *name) {
    if (!name || !*name) return MT_FAIL(CONFIG, "%s number %zu of the program has no name", what, number);
    if (strlen(name) >= MT_FUNCTION_NAME_BYTES / 2)
        return MT_FAIL(CONFIG, "%s \"%.60s\": a name has at most %d letters", what, name, MT_FUNCTION_NAME_BYTES / 2 - 1);
    if (find(p, scope, name)) return MT_FAIL(CONFIG, "%s \"%s\" is in the program twice; give one another name", what, name);
    return MT_OK;
}

static mt_status add_class(mt_program *p, size_t number) {
    const manta_class *desc = &p->desc->classes[number];
    mt_program_class *c = &p->classes[number];
    MT_TRY(name_check(p, SCOPE_CLASS, "class", number, desc->name));
    c->desc = desc;
    MT_TRY(function_init(&c->create, NULL, desc->name, desc->create, (int)number, (int)number, desc->create_signature));
    if (c->create.signature.result_count)
        return MT_FAIL(CONFIG, "class \"%s\": create gives the actor; its signature has no results of its own", desc->name);
    insert(p, SCOPE_CLASS, desc->name, &c->create);
    c->methods = calloc(desc->method_count + 1, sizeof *c->methods);
    if (!c->methods) return MT_FAIL(NO_MEMORY, "out of memory for the methods of \"%s\"", desc->name);
    for (size_t m = 0; m < desc->method_count; m++) {
        const manta_method *method = &desc->methods[m];
        MT_TRY(name_check(p, SCOPE_METHOD + number, "method", m, method->name));
        if (!method->run) return MT_FAIL(CONFIG, "method \"%s\" of class \"%s\" has no function", method->name, desc->name);
        MT_TRY(function_init(&c->methods[m], desc->name, method->name, method->run, (int)m, (int)number, method->signature));
        insert(p, SCOPE_METHOD + number, method->name, &c->methods[m]);
    }
    return MT_OK;
}

static mt_status add_task(mt_program *p, size_t number) {
    const manta_task *task = &p->desc->tasks[number];
    MT_TRY(name_check(p, SCOPE_TASK, "task", number, task->name));
    if (!task->run) return MT_FAIL(CONFIG, "task \"%s\" has no function", task->name);
    MT_TRY(function_init(&p->tasks[number], NULL, task->name, task->run, (int)number, -1, task->signature));
    insert(p, SCOPE_TASK, task->name, &p->tasks[number]);
    return MT_OK;
}

static mt_status program_fill(mt_program *p) {
    const manta_program *desc = p->desc;
    size_t names = desc->task_count + desc->class_count;
    if (desc->class_count > MT_PROGRAM_CLASSES_MAX) return MT_FAIL(CONFIG, "a program has at most %d classes", MT_PROGRAM_CLASSES_MAX);
    if ((desc->task_count && !desc->tasks) || (desc->class_count && !desc->classes))
        return MT_FAIL(CONFIG, "the program counts tasks or classes that it does not list");
    for (size_t i = 0; i < desc->class_count; i++) {
        if (desc->classes[i].method_count && !desc->classes[i].methods)
            return MT_FAIL(CONFIG, "class number %zu counts methods that it does not list", i);
        names += desc->classes[i].method_count;
    }
    size_t slots = 16;
    while (slots < 2 * names) slots *= 2;
    p->tasks = calloc(desc->task_count + 1, sizeof *p->tasks);
    p->classes = calloc(desc->class_count + 1, sizeof *p->classes);
    p->slots = calloc(slots, sizeof *p->slots);
    if (!p->tasks || !p->classes || !p->slots) return MT_FAIL(NO_MEMORY, "out of memory for the program's %zu names", names);
    p->slot_mask = (uint32_t)slots - 1;
    for (size_t i = 0; i < desc->task_count; i++) MT_TRY(add_task(p, i));
    for (size_t i = 0; i < desc->class_count; i++) MT_TRY(add_class(p, i));
    return MT_OK;
}

mt_status mt_program_create(const manta_program *desc, mt_program **out) {
    *out = NULL;
    mt_program *p = calloc(1, sizeof *p);
    if (!p) return MT_FAIL(NO_MEMORY, "out of memory for the program's names");
    p->copy = *desc;
    p->desc = &p->copy;
    mt_status status = program_fill(p);
    if (status == MT_OK) *out = p;
    else mt_program_destroy(p);
    return status;
}

void mt_program_destroy(mt_program *program) {
    if (!program) return;
    for (size_t i = 0; program->classes && i < program->desc->class_count; i++) free(program->classes[i].methods);
    free(program->slots);
    free(program->classes);
    free(program->tasks);
    free(program);
}

const mt_function *mt_program_task(const mt_program *program, const char *name) { return find(program, SCOPE_TASK, name); }

const mt_function *mt_program_class_named(const mt_program *program, const char *name) {
    return find(program, SCOPE_CLASS, name);
}

const mt_function *mt_program_method(const mt_program *program, int class_number, const char *name) {
    return find(program, SCOPE_METHOD + (uint64_t)class_number, name);
}

const mt_function *mt_program_function(const mt_program *program, int call_kind, uint32_t class_number, uint32_t function) {
    const manta_program *desc = program->desc;
    if (call_kind == MT_CALL_TASK) return function < desc->task_count ? &program->tasks[function] : NULL;
    if (class_number >= desc->class_count) return NULL;
    if (call_kind == MT_CALL_CREATE) return &program->classes[class_number].create;
    return function < desc->classes[class_number].method_count ? &program->classes[class_number].methods[function] : NULL;
}

static const char *task_at(const void *list, size_t i) { return ((const manta_task *)list)[i].name; }
static const char *class_at(const void *list, size_t i) { return ((const manta_class *)list)[i].name; }
static const char *method_at(const void *list, size_t i) { return ((const manta_method *)list)[i].name; }

const char *mt_program_nearest(const mt_program *program, int call_kind, int class_number, const char *name) {
    const manta_program *desc = program->desc;
    if (call_kind == MT_CALL_TASK) return mt_text_nearest_at(name, task_at, desc->tasks, desc->task_count);
    if (call_kind == MT_CALL_CREATE) return mt_text_nearest_at(name, class_at, desc->classes, desc->class_count);
    if (class_number < 0 || (size_t)class_number >= desc->class_count) return NULL;
    return mt_text_nearest_at(name, method_at, desc->classes[class_number].methods, desc->classes[class_number].method_count);
}
