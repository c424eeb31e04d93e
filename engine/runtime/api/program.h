// A program as the runtime uses it: tasks, classes and methods by number, their signatures parsed, names in a table. Built once
// from the user's manta_program when the job starts, immutable and shared by all threads afterwards. The numbers are positions
// in the user's arrays, so they agree on every rank that runs the same program (mt_program_digest says whether it does).
#ifndef MANTA_ENGINE_RUNTIME_PROGRAM_H
#define MANTA_ENGINE_RUNTIME_PROGRAM_H

#include "engine/base/status.h"
#include "engine/runtime/manta_runtime.h"
#include "engine/runtime/value.h"

enum { MT_FUNCTION_NAME_BYTES = 96, MT_PROGRAM_CLASSES_MAX = 65534 };   // a class travels in 16 bits of a handle

typedef struct mt_function {
    char name[MT_FUNCTION_NAME_BYTES];   // for messages: "add", "Counter", "Counter.increment"
    manta_function *run;                 // Nullable: a class without create
    int number;                          // of the task; of the class; of the method in its class
    int class_number;                    // -1: a task
    mt_signature signature;
} mt_function;

typedef struct mt_program_class {
    const manta_class *desc;   // borrowed
    mt_function create;
    mt_function *methods;      // owned (desc->method_count)
} mt_program_class;

typedef struct mt_program {
    manta_program copy;          // the lists inside are borrowed
    const manta_program *desc;   // view of the copy
    mt_function *tasks;          // owned (desc->task_count)
    mt_program_class *classes;   // owned (desc->class_count)
    struct mt_program_slot {
        uint64_t hash;           // 0: free
        const mt_function *function;   // view
        const char *key;         // view
    } *slots;                    // owned (slot_mask + 1)
    uint32_t slot_mask;
    uint64_t digest;
} mt_program;

// MT_CONFIG names the entry that is wrong: no name, no function, a name twice, a signature that cannot be read.
mt_status mt_program_create(const manta_program *desc, mt_program **out);
void mt_program_destroy(mt_program *program);   // Nullable

// NULL when there is none. A few nanoseconds: one hash of the name, one comparison.
const mt_function *mt_program_task(const mt_program *program, const char *name);
const mt_function *mt_program_class_named(const mt_program *program, const char *name);   // its create
const mt_function *mt_program_method(const mt_program *program, int class_number, const char *name);

// NULL when the numbers (another rank's word) name nothing. kind: mt_call_kind.
const mt_function *mt_program_function(const mt_program *program, int call_kind, uint32_t class_number, uint32_t function);

// For "did you mean": the nearest name of the same sort. call_kind as above.
const char *mt_program_nearest(const mt_program *program, int call_kind, int class_number, const char *name);

#endif
