// Resources: fixed vectors of what a rank has, a call wants, or is in use. Pure functions.
//
// Amounts are integers, so that taking and giving back balances to zero: CPUs, GPUs and custom resources in ten-thousandths,
// memory in bytes. The first three kinds are fixed; custom ones get the numbers behind them when the job starts, alike on
// every rank (mt_resource_names). No rank has, and no call wants, more than MT_RESOURCE_MOST of anything, so that sums over a
// job's ranks do not overflow.
#ifndef MANTA_ENGINE_RUNTIME_RESOURCES_H
#define MANTA_ENGINE_RUNTIME_RESOURCES_H

#include <stdint.h>
#include "engine/base/status.h"
#include "engine/base/text.h"

enum { MT_RESOURCE_CPU, MT_RESOURCE_GPU, MT_RESOURCE_MEMORY, MT_RESOURCE_CUSTOM, MT_RESOURCES = 8 };
enum { MT_RESOURCE_UNIT = 10000, MT_RESOURCE_NAME_BYTES = 32 };
enum { MT_GPUS_MAX = 16 };   // devices of a rank
#define MT_RESOURCE_MOST (INT64_C(1) << 48)   // 256 TiB of memory

typedef struct mt_resources {
    int64_t amount[MT_RESOURCES];
} mt_resources;

typedef struct mt_resource_names {
    int count;   // MT_RESOURCE_CUSTOM + custom ones
    char name[MT_RESOURCES][MT_RESOURCE_NAME_BYTES];   // "CPU", "GPU", "memory", ...
} mt_resource_names;

void mt_resource_names_init(mt_resource_names *names);
int mt_resource_number(const mt_resource_names *names, const char *name);   // case-insensitive for the first three; -1: none
// The number of a custom resource, added when it is new. MT_CONFIG: too many, or a bad name.
mt_status mt_resource_add(mt_resource_names *names, const char *name, int *number);

int mt_resources_fit(const mt_resources *wanted, const mt_resources *have);   // every amount
void mt_resources_add(mt_resources *a, const mt_resources *b);
void mt_resources_subtract(mt_resources *a, const mt_resources *b);
int mt_resources_zero(const mt_resources *a);
int mt_resources_in_range(const mt_resources *a);   // what another rank speaks of: each from 0 to MT_RESOURCE_MOST

// Adds what a user asks for: a number from 0, in bytes for memory. Rounded to the unit, but what is not nothing stays so;
// saturates at MT_RESOURCE_MOST.
void mt_resources_ask(mt_resources *a, int number, double amount);
// Amount as a user writes it: "2", "0.5", "1.5 GiB" for memory.
void mt_resource_format(int number, int64_t amount, char *out, size_t out_bytes);

// What can be asked of a rank's GPUs: a part of one device, or whole ones.
static inline int mt_resource_gpus_whole(int64_t units) { return units <= MT_RESOURCE_UNIT || units % MT_RESOURCE_UNIT == 0; }

// "cpu=4,gpu=2,memory=2G,tpu=0.5" over `out` (which holds what was found); new names are added. GPUs are whole devices, at most
// MT_GPUS_MAX. MT_CONFIG says where.
mt_status mt_resources_parse(const char *text, mt_resource_names *names, mt_resources *out);

#endif
