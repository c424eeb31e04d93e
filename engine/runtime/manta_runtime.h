/* manta's programming model: functions become tasks, structs become actors, both declare the CPUs and GPUs they need.
 *
 *     static int add(manta_context *c) {                        // a task
 *         return manta_return(c, manta_i64(manta_i64_of(c, 0) + manta_i64_of(c, 1)));
 *     }
 *     static int driver(manta_context *c) {                     // runs on rank 0
 *         manta_ref three = manta_call(c, "add", manta_i64(1), manta_i64(2));      // returns at once
 *         manta_ref ten = manta_call(c, "add", manta_from(three), manta_i64(7));   // a reference is an argument
 *         int64_t sum;
 *         int code = manta_get_i64(c, ten, &sum);                                  // waits
 *         if (code == MANTA_OK) printf("%lld\n", (long long)sum);
 *         return code;
 *     }
 *     static const manta_task tasks[] = {{"add", add, "i64, i64 -> i64"}};
 *     int main(int argc, char **argv) {
 *         return manta_main(argc, argv, &(manta_program){.tasks = tasks, .task_count = 1, .driver = driver});
 *     }
 *
 * The same program runs on every rank of `mpirun -n N`; rank 0 runs the driver, all ranks run tasks and actors.
 *
 * References. A call returns a reference at once. It belongs to the context in which it was obtained (the driver's, or
 * that of the task or method that runs) and is given back when that ends, or earlier by manta_release. What an actor
 * keeps in its state it retains first (manta_retain); what it still retains when it ends, however it ends, is given back
 * then. An object lives as long as some rank holds a reference to it.
 *
 * Values are immutable. Small ones travel inside messages, large ones lie in memory that the ranks of a node share:
 * manta_get gives a view without a copy, valid until the reference is released or the context ends.
 *
 * Failure. Fallible functions return a manta_code; manta_error(c) then says what, where and what to do. A call itself
 * never fails: what is wrong with it (an unknown name, arguments that do not fit the signature, resources that no rank
 * has) is the error of the reference that it returned, and comes out of manta_get. Nothing waits for ever by default.
 *
 * Threads. A context is used by the thread that was given it, and by no other. Different contexts run at the same time.
 *
 * C11 or later, C++11 or later.
 */
#ifndef MANTA_RUNTIME_H
#define MANTA_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------------------------------------------------- errors */

/* X(name, text) */
#define MANTA_CODE_LIST(X)                                                                                             \
    X(OK, "success")                                                                                                   \
    X(TASK_FAILED, "a task or method failed by its own word")                                                          \
    X(ACTOR_DIED, "the actor is gone")                                                                                 \
    X(OBJECT_LOST, "every copy of the object is lost")                                                                 \
    X(DEADLINE, "deadline passed")                                                                                     \
    X(INFEASIBLE, "the cluster does not have what was asked for")                                                      \
    X(CANCELLED, "cancelled")                                                                                          \
    X(NO_MEMORY, "out of memory")                                                                                      \
    X(INVALID, "invalid argument")                                                                                     \
    X(NOT_FOUND, "not found")                                                                                          \
    X(EXISTS, "already exists")                                                                                        \
    X(FULL, "too many calls are pending")                                                                              \
    X(SHUTDOWN, "the job is ending")                                                                                   \
    X(COMM, "communication failed")                                                                                    \
    X(IO, "input/output error")                                                                                        \
    X(INTERNAL, "internal error")

typedef enum manta_code {
#define MANTA_X(name, text) MANTA_##name,
    MANTA_CODE_LIST(MANTA_X)
#undef MANTA_X
    MANTA_CODE_COUNT
} manta_code;

const char *manta_code_name(int code); /* "TASK_FAILED"; "?" outside the list */

typedef struct manta_context manta_context;

/* The last failure of this context: `message` says what, where and what to do; `rank` is where it happened. */
typedef struct manta_error_info {
    int code;
    int rank;
    const char *message; /* valid until the context's next failure */
} manta_error_info;
manta_error_info manta_error(const manta_context *c);

/* Fails the running task or method: `return manta_fail(c, "cannot open %s", path);`. Returns MANTA_TASK_FAILED. */
int manta_fail(manta_context *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---------------------------------------------------------------------------------------------------------- values */

/* X(name, bytes of an element, name in signatures) */
#define MANTA_TYPE_LIST(X)                                                                                             \
    X(NONE, 0, "none")                                                                                                 \
    X(BYTES, 1, "bytes")                                                                                               \
    X(TEXT, 1, "text")                                                                                                 \
    X(F32, 4, "f32")                                                                                                   \
    X(F64, 8, "f64")                                                                                                   \
    X(BF16, 2, "bf16")                                                                                                 \
    X(I32, 4, "i32")                                                                                                   \
    X(I64, 8, "i64")                                                                                                   \
    X(U8, 1, "u8")                                                                                                     \
    X(U32, 4, "u32")                                                                                                   \
    X(U64, 8, "u64")                                                                                                   \
    X(REF, 16, "ref")                                                                                                  \
    X(ACTOR, 16, "actor")

typedef enum manta_type {
#define MANTA_X(name, bytes, text) MANTA_TYPE_##name,
    MANTA_TYPE_LIST(MANTA_X)
#undef MANTA_X
    MANTA_TYPE_COUNT
} manta_type;

enum { MANTA_MAX_DIMS = 6, MANTA_MAX_ARGUMENTS = 32, MANTA_MAX_RESULTS = 16 };

/* Names an object: who owns it, which it is. Plain data; {0} is no reference. */
typedef struct manta_ref {
    uint32_t owner, slot;
    uint64_t serial; /* never 0 for a reference */
} manta_ref;

typedef struct manta_actor {
    manta_ref ref;
} manta_actor;

/* A typed view. Dense, row-major; ndim 0 is a scalar. `data` is at least 16-byte aligned when it comes from a get or an
 * argument. TEXT ends in a NUL that `bytes` does not count. */
typedef struct manta_value {
    manta_type type;
    int ndim;
    int64_t shape[MANTA_MAX_DIMS];
    const void *data;
    size_t bytes;
} manta_value;

/* An argument or a result on its way out: made by the functions below, passed by value, read before the call returns. */
typedef struct manta_arg {
    manta_value value; /* data NULL with bytes > 0: the scalar below */
    union {
        int64_t i64;
        double f64;
        manta_ref ref;
    } scalar;
    int resolve; /* scalar.ref stands for the value it will have */
} manta_arg;

manta_arg manta_i64(int64_t x);
manta_arg manta_f64(double x);
manta_arg manta_text(const char *text);
manta_arg manta_bytes(const void *data, size_t bytes);
manta_arg manta_tensor(manta_type type, int ndim, const int64_t *shape, const void *data);
manta_arg manta_vector(manta_type type, int64_t count, const void *data);
manta_arg manta_from(manta_ref ref);               /* the value of `ref`: the call starts when it is there */
manta_arg manta_reference(manta_ref ref);          /* the reference itself; the callee borrows it */
manta_arg manta_references(const manta_ref *refs, int64_t count);
manta_arg manta_handle(manta_actor actor);         /* an actor, for others to call */

/* ------------------------------------------------------------------------------------------------ tasks and classes */

/* The body of a task or method: reads its arguments, gives its results, returns MANTA_OK or a failure. */
typedef int manta_function(manta_context *c);

/* Signatures: "i64, f32[n,4] -> f32[n]". A type of the list above; [] after it for a tensor: a number fixes a
 * dimension, a letter must be the same wherever it stands, ? is any, [...] is any shape. `any` takes everything; "" or
 * "->" takes and gives nothing; "..." as the last argument takes any number more. Checked at the caller and again where
 * it runs. */
typedef struct manta_task {
    const char *name;
    manta_function *run;
    const char *signature;
} manta_task;

typedef struct manta_method {
    const char *name;
    manta_function *run;
    const char *signature;
} manta_method;

typedef struct manta_class {
    const char *name;
    size_t state_bytes;           /* zeroed before create; 64-byte aligned */
    manta_function *create;       /* Nullable: nothing to do */
    const char *create_signature; /* Nullable: no arguments */
    void (*destroy)(void *state); /* Nullable. On an executor's thread, after the last method; no context */
    const manta_method *methods;
    size_t method_count;
} manta_class;

/* What runs and where. A zero field means the default. */
typedef struct manta_resource {
    const char *name;
    double amount;
} manta_resource;

typedef struct manta_placement manta_placement;

#define MANTA_NO_CPU (-1.0)                /* num_cpus: none at all */
#define MANTA_NONE (-1)                    /* max_retries and its like: none */
#define MANTA_ALWAYS INT32_MAX             /* max_retries and its like: no limit */
#define MANTA_ON_RANK(rank) ((rank) + 1)   /* on_rank: only there */

typedef struct manta_options {
    double num_cpus; /* 0: 1 for a task; for an actor 1 while it is created, none afterwards. Fractions allowed */
    double num_gpus; /* fractions share a device; above 1 whole devices */
    uint64_t memory; /* bytes to set aside */
    const manta_resource *resources; /* custom resources */
    int resource_count;
    int max_retries;                    /* of a task whose rank died or whose result was lost; 0: 3 */
    int on_rank;                        /* MANTA_ON_RANK(r) */
    const manta_placement *placement;   /* Nullable: inside this group */
    int bundle;                         /* of the group, from 0; with MANTA_NONE any */
    const char *name;                   /* of an actor: found by manta_find_actor, shown by manta status. Tasks have none */
    /* actors */
    bool detached;                      /* lives until manta_kill or the job's end */
    int max_restarts;                   /* 0: none */
    int max_task_retries;               /* of its calls after a restart; 0: none, at most once */
    int max_concurrency;                /* methods at a time; 0: 1, in order */
    int max_pending_calls;              /* of all callers on a rank; 0: no limit. One more is MANTA_FULL */
} manta_options;

/* The general forms. Nullable: options. The number of references is the signature's number of results (at least 1: a
 * function without results has one reference, of type none, that says when it is done). `out` takes them. */
void manta_submit(manta_context *c, const char *task, const manta_options *options, const manta_arg *args, int arg_count,
    manta_ref *out);
manta_actor manta_create(manta_context *c, const char *class_name, const manta_options *options, const manta_arg *args,
    int arg_count);
void manta_invoke(manta_context *c, manta_actor actor, const char *method, const manta_arg *args, int arg_count,
    manta_ref *out);

/* The first result's reference of the short forms; the others are released. */
manta_ref manta_submit1(manta_context *c, const char *task, const manta_options *options, const manta_arg *args, int arg_count);
manta_ref manta_invoke1(manta_context *c, manta_actor actor, const char *method, const manta_arg *args, int arg_count);

manta_actor manta_find_actor(manta_context *c, const char *name); /* ref.serial 0: none of this name (manta_error) */
void manta_kill(manta_context *c, manta_actor actor);             /* at once: pending calls fail, no restart */

/* ------------------------------------------------------------------------------- inside a running task or method */

int manta_argument_count(const manta_context *c);
manta_value manta_argument(const manta_context *c, int i); /* checked against the signature already */
int64_t manta_i64_of(const manta_context *c, int i);
double manta_f64_of(const manta_context *c, int i);
const char *manta_text_of(const manta_context *c, int i);
manta_ref manta_ref_of(const manta_context *c, int i);
manta_actor manta_actor_of(const manta_context *c, int i);

/* Results: copied, or written in place into memory that becomes the object (data of the value; NULL when out of
 * memory). Each result once. Returns MANTA_OK, so that a body can end with it. */
int manta_return(manta_context *c, manta_arg result);
int manta_return_at(manta_context *c, int i, manta_arg result);
void *manta_result(manta_context *c, int i, manta_type type, int ndim, const int64_t *shape);

void *manta_state(manta_context *c);             /* of the actor; NULL in a task */
manta_actor manta_self(const manta_context *c);  /* the actor's own handle */
bool manta_cancelled(const manta_context *c);    /* somebody cancelled this call: end soon */
/* Devices given to this task or actor, and their numbers on this host (-1: there is no i-th). None is selected: the body does it,
 * for instance with cudaSetDevice(manta_gpu(c, 0)). */
int manta_gpu_count(const manta_context *c);
int manta_gpu(const manta_context *c, int i);
int manta_rank(const manta_context *c);
int manta_rank_count(const manta_context *c);
int manta_node(const manta_context *c);          /* number of this rank's host in the job */
int manta_rank_node(const manta_context *c, int rank);
void *manta_user(const manta_context *c);        /* the program's `user` on this rank */
double manta_cluster_total(const manta_context *c, const char *resource); /* "CPU", "GPU", "memory", or custom */

/* --------------------------------------------------------------------------------------------------------- objects */

#define MANTA_DEFAULT_TIMEOUT (-1.0) /* the job's --timeout, 120 s unless told otherwise */
#define MANTA_FOREVER (-2.0)

manta_ref manta_put(manta_context *c, manta_arg value);
/* Memory of a new object to be written in place; manta_seal makes it immutable and gives its reference. NULL, and an
 * error, when there is no memory. At most one at a time per context. */
void *manta_put_begin(manta_context *c, manta_type type, int ndim, const int64_t *shape);
manta_ref manta_put_seal(manta_context *c);

/* Waits until the value is there; a failed call's error comes out here. */
int manta_get(manta_context *c, manta_ref ref, manta_value *out);
int manta_get_within(manta_context *c, manta_ref ref, double seconds, manta_value *out);
int manta_get_all(manta_context *c, const manta_ref *refs, int count, double seconds, manta_value *out); /* Nullable: out */
int manta_get_i64(manta_context *c, manta_ref ref, int64_t *out);
int manta_get_f64(manta_context *c, manta_ref ref, double *out);
int manta_get_actor(manta_context *c, manta_ref ref, manta_actor *out);

/* Until `wanted` of the references are ready, with a value or with an error: ready[i] says which (more than wanted may
 * be). MANTA_DEADLINE when fewer are; ready is filled in then, too. */
int manta_wait(manta_context *c, const manta_ref *refs, int count, int wanted, double seconds, bool *ready);

/* One more hold, which outlives the context: in an actor's create and methods the actor's, until it ends; elsewhere the
 * rank's, until the job ends. */
void manta_retain(manta_context *c, manta_ref ref);
/* Gives back this context's hold, or one that its actor (outside actors: its rank) has retained; never another actor's. */
void manta_release(manta_context *c, manta_ref ref);
int manta_cancel(manta_context *c, manta_ref ref);   /* queued: never runs; running: manta_cancelled turns true */

/* The short forms: arguments listed in the call. Options with more than one field need MANTA_OPTIONS round them, since a comma
 * between braces ends a macro's argument: manta_call_with(c, "f", MANTA_OPTIONS(.num_cpus = 2, .max_retries = 1), manta_i64(3)). */
#ifndef __cplusplus
#define MANTA_OPTIONS(...) (&(const manta_options){__VA_ARGS__})
#define MANTA_ARGS(...)                                                                                                \
    ((const manta_arg[]){{.resolve = 0}, ##__VA_ARGS__} + 1),                                                          \
        (int)(sizeof((const manta_arg[]){{.resolve = 0}, ##__VA_ARGS__}) / sizeof(manta_arg)) - 1
#define manta_call(c, task, ...) manta_submit1((c), (task), NULL, MANTA_ARGS(__VA_ARGS__))
#define manta_call_with(c, task, options, ...) manta_submit1((c), (task), (options), MANTA_ARGS(__VA_ARGS__))
#define manta_new(c, class_name, options, ...) manta_create((c), (class_name), (options), MANTA_ARGS(__VA_ARGS__))
#define manta_tell(c, actor, method, ...) manta_invoke1((c), (actor), (method), MANTA_ARGS(__VA_ARGS__))
#endif

/* ------------------------------------------------------------------------------------------------ placement groups */

typedef enum manta_strategy { MANTA_PACK, MANTA_SPREAD, MANTA_STRICT_PACK, MANTA_STRICT_SPREAD } manta_strategy;

typedef struct manta_bundle {
    double num_cpus, num_gpus;
    uint64_t memory;
    const manta_resource *resources;
    int resource_count;
} manta_bundle;

/* All bundles or none. PACK: on few hosts, one if it can be; SPREAD: on different hosts while there are any;
 * STRICT_PACK: one host; STRICT_SPREAD: no two on a host. Returns at once: NULL only when out of memory. */
manta_placement *manta_placement_create(manta_context *c, const manta_bundle *bundles, int count, manta_strategy strategy);
int manta_placement_wait(manta_context *c, manta_placement *placement, double seconds); /* INFEASIBLE, DEADLINE */
int manta_placement_rank(const manta_placement *placement, int bundle);                 /* -1 before it is placed */
void manta_placement_remove(manta_context *c, manta_placement *placement); /* what runs in it ends first. Nullable */

/* ----------------------------------------------------------------------------------------- collectives of actors */

typedef enum manta_reduce { MANTA_SUM, MANTA_MAX, MANTA_MIN } manta_reduce;

/* Makes a group of these actors, in this order, at most 32768. Each joins it by its own index in one of its methods (the call waits
 * for the others), and then all make the same calls in the same order. Sums are taken in member order: the same bits
 * whatever the layout. Types: F32, F64, I64. */
manta_ref manta_group_create(manta_context *c, const manta_actor *actors, int count);
typedef struct manta_group manta_group;
int manta_group_join(manta_context *c, manta_ref group, int member, double seconds, manta_group **out);
/* Nullable. Leaving twice does nothing: `group` itself lives until the actor (outside actors: the context) that joined ends. One
 * that ends without leaving leaves then, and the others' calls fail: those on its rank at once, elsewhere at their deadline. */
void manta_group_leave(manta_group *group);
int manta_group_size(const manta_group *group);
int manta_group_member(const manta_group *group);
int manta_group_allreduce(manta_context *c, manta_group *group, const void *src, void *dst, int64_t count, manta_type type,
    manta_reduce op);
int manta_group_broadcast(manta_context *c, manta_group *group, void *data, size_t bytes, int root);
int manta_group_allgather(manta_context *c, manta_group *group, const void *src, void *dst, size_t bytes);
/* src (size, count), dst (count): the sum's part of this member */
int manta_group_reduce_scatter(manta_context *c, manta_group *group, const void *src, void *dst, int64_t count, manta_type type,
    manta_reduce op);
int manta_group_barrier(manta_context *c, manta_group *group);

/* ------------------------------------------------------------------------------------------------------------- job */

typedef struct manta_program {
    const manta_task *tasks; /* the same on every rank */
    size_t task_count;
    const manta_class *classes;
    size_t class_count;
    manta_function *driver; /* on rank 0; its code is the job's */
    void *user;             /* Nullable: what manta_user gives; one per rank */
} manta_program;

/* Starts the job, runs the driver on rank 0 while the others serve, ends it. Returns the process's exit status and has
 * printed what went wrong. The command line may hold --resources, --object-memory, --spill-folder, --timeout and
 * --timeline; what follows is the driver's (manta_program_args). */
int manta_main(int argc, char **argv, const manta_program *program);
char **manta_program_args(const manta_context *c, int *count);

#ifdef __cplusplus
}

template <class... Arguments>
manta_ref manta_call_with(manta_context *c, const char *task, const manta_options *options, Arguments... arguments) {
    const manta_arg list[] = {manta_arg(), arguments...};
    return manta_submit1(c, task, options, list + 1, (int)sizeof...(arguments));
}
template <class... Arguments> manta_ref manta_call(manta_context *c, const char *task, Arguments... arguments) {
    return manta_call_with(c, task, nullptr, arguments...);
}
template <class... Arguments>
manta_actor manta_new(manta_context *c, const char *class_name, const manta_options *options, Arguments... arguments) {
    const manta_arg list[] = {manta_arg(), arguments...};
    return manta_create(c, class_name, options, list + 1, (int)sizeof...(arguments));
}
template <class... Arguments>
manta_ref manta_tell(manta_context *c, manta_actor actor, const char *method, Arguments... arguments) {
    const manta_arg list[] = {manta_arg(), arguments...};
    return manta_invoke1(c, actor, method, list + 1, (int)sizeof...(arguments));
}
#endif
#endif
