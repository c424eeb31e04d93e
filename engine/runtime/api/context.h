// A context: what a body (or the driver) holds on to while it runs. An executor has one and uses it again for every run, so a
// call allocates nothing here. One thread at a time.
#ifndef MANTA_ENGINE_RUNTIME_CONTEXT_H
#define MANTA_ENGINE_RUNTIME_CONTEXT_H

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include "engine/runtime/node/node.h"
#include "engine/runtime/node/timeline.h"

enum {
    MT_ERROR_BYTES = 1024,
    MT_ENCODED_BYTES = MT_INLINE_BYTES + 256,   // of any value that is inline
    MT_WAIT_INLINE = 16,
};

// A value that is being written in place.
typedef struct mt_draft {
    int open;                      // 1 inline, 2 in the heap
    mt_value_head head;
    int64_t shape[MANTA_MAX_DIMS];
    uint64_t offset;               // of 2
} mt_draft;

struct manta_context {
    mt_node *node;
    int number;                    // of its executor; 0: the driver's
    mt_timeline_ring *ring;        // Nullable
    mt_bell bell;
    int wants_room;                // what it waits for is memory in the heap
    // the run, or NULL in the driver
    mt_run *run;
    const mt_function *function;   // Nullable with it
    void *state;
    mt_binding binding;            // dimensions that the arguments have bound
    uint32_t given;                // results given: bit i
    int failed;                    // a result did not fit: the code that the call ends with, whatever the body says
    mt_draft drafts[MANTA_MAX_RESULTS];
    char *encoded[MANTA_MAX_RESULTS];   // owned: MT_ENCODED_BYTES each, made when first needed
    int end_code;                  // of the body, checked
    int soon;                      // under the lock: counted in the node's `soon`
    int64_t run_ns;
    // the last error
    int error_code, error_rank;
    char error[MT_ERROR_BYTES];
    // a put that was begun
    mt_draft draft;
    alignas(16) char scratch[MT_ENCODED_BYTES];
    manta_group *groups;           // owned: joined outside an actor
    mt_holds holds;                // of references obtained through it
    mt_holds views;                // of others, whose values it looks at
};

manta_context *mt_context_create(mt_node *node, int number);   // NULL: no memory
void mt_context_destroy(manta_context *c);                     // Nullable. Holds nothing any more: finish or release_all before

// The executor's: without the lock, runs the body; with it, tells the core and lets the context's references go.
void mt_context_run(manta_context *c, mt_run *run);
void mt_context_finish(manta_context *c, mt_run *run);
void mt_context_destroy_state(manta_context *c, mt_actor_state *state);   // no lock: the class's destroy
// Lock held. What an actor has beside its bytes: given back when it ends (release, the core is told) or when the node has ended
// with it (forget); then its memory.
void mt_context_release_state(mt_node *node, mt_actor_state *state);
void mt_context_forget_state(mt_actor_state *state);
void mt_context_free_state(mt_actor_state *state);
void mt_context_release_retained(mt_node *node);                          // lock held: of bodies outside actors, at the job's end
void mt_context_release_all(manta_context *c);                            // lock held: for the driver's end

// ---- for the files of the API

static inline mt_hint *mt_context_hint(const manta_context *c) { return mt_node_hint_of(c->node, c->run); }

int mt_context_fail(manta_context *c, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));   // returns code
int mt_context_fail_status(manta_context *c, mt_status status, const char *before);   // with the thread's last error
int mt_code_of_status(mt_status status);
manta_ref mt_context_failed_ref(manta_context *c);   // no lock: a reference whose error is the context's last

// group.c, lock held. The members of a list leave their groups, and the list goes; forget: the node ends, the groups with it.
void mt_groups_end(manta_group **list);
void mt_groups_forget(manta_group **list);

// lock held: the context has one hold more of what the core already counts once
void mt_context_keep(manta_context *c, manta_ref ref);
void mt_context_keep_view(manta_context *c, manta_ref ref);
void mt_context_let_go(manta_context *c, manta_ref ref);
mt_holds *mt_context_retained(manta_context *c);   // where manta_retain counts: the actor's or the node's. NULL: no memory

// TEXT's NUL counts, as it does in the head.
static inline int mt_draft_inline(const manta_arg *arg) {
    return arg->value.bytes + (arg->value.type == MANTA_TYPE_TEXT) <= MT_INLINE_BYTES;
}

// A value in place. Returns where the payload goes; NULL: no memory (the context's error says so). `buffer`: 16-aligned, for one
// that is inline. Neither takes the lock before.
void *mt_draft_begin(manta_context *c, mt_draft *draft, char *buffer, manta_type type, int ndim, const int64_t *shape);
// What the core is to be given; inner references are found where they lie.
void mt_draft_result(const manta_context *c, const mt_draft *draft, const char *buffer, mt_run_result *out);
void mt_draft_drop(manta_context *c, mt_draft *draft);   // lock held
// Encodes or copies an argument (checked) the same way: the draft is complete.
int mt_draft_copy(manta_context *c, mt_draft *draft, char *buffer, const manta_arg *arg);

// scalars, whatever whole or floating type they have; 0: it is none
int mt_value_as_i64(const manta_value *value, int64_t *out);
int mt_value_as_f64(const manta_value *value, double *out);

// As mt_signature_check, of "argument 2" or "result 0": the name is put together only when the check has failed.
static inline mt_status mt_check_numbered(const mt_signature_part *part, const mt_value_head *head, const int64_t *shape,
    mt_binding *binding, const char *function, const char *sort, int number) {
    char what[24];
    if (mt_signature_check(part, head, shape, binding, function, sort) == MT_OK) return MT_OK;
    snprintf(what, sizeof what, "%s %d", sort, number);
    return mt_signature_check(part, head, shape, binding, function, what);
}

const void *mt_argument_data(const manta_context *c, int i);   // where the payload of argument i lies; NULL: nowhere

int64_t mt_context_deadline(const manta_context *c, double seconds);
// lock held on entry and on return: waits for the context's bell; the run's CPUs are lent out meanwhile. 1: rung; 0: deadline, or
// the job ends (node->ending).
int mt_context_wait(manta_context *c, int64_t deadline_ns);

#endif
