// The cpu back end's table for one instruction set: the list of everything this floor offers.
#include "kernels/cpu/isa.h"
#include "kernels/cpu/ops.h"

const mt_kernels MT_ISA_NAME(mt_kernels) = {
    .name = "cpu/" MT_ISA_STRING(MT_ISA),
#define MT_X(op) .op = MT_ISA_NAME(mt_##op),
    MT_CPU_OP_LIST(MT_X)
#undef MT_X
};
