// Dense layers (first, plain version: the contract in loops).
#include "kernels/cpu/ops.h"

void MT_ISA_NAME(mt_dense_pack)(int out, int in, const float *weight, float *weight_t) {
    for (int o = 0; o < out; o++)
        for (int i = 0; i < in; i++) weight_t[(int64_t)i * out + o] = weight[(int64_t)o * in + i];
}

void MT_ISA_NAME(mt_dense_forward)(const mt_dense_forward *a) {
    for (int64_t r = 0; r < a->rows; r++) {
        float *y = a->y + r * a->out;
        for (int o = 0; o < a->out; o++) y[o] = a->bias ? a->bias[o] : 0.0f;
        for (int i = 0; i < a->in; i++)
            for (int o = 0; o < a->out; o++) y[o] += a->x[r * a->in + i] * a->weight_t[(int64_t)i * a->out + o];
        if (a->pre) memcpy(a->pre + r * a->out, y, sizeof(float) * (size_t)a->out);
        MT_ISA_NAME(mt_activate)(a->activation, a->out, y, y);
    }
}

void MT_ISA_NAME(mt_dense_backward)(const mt_dense_backward *a) {
    if (!a->accumulate) {
        memset(a->dw, 0, sizeof(float) * (size_t)a->in * (size_t)a->out);
        if (a->db) memset(a->db, 0, sizeof(float) * (size_t)a->out);
    }
    for (int64_t r = 0; r < a->rows; r++) {
        const float *dz = a->dz + r * a->out, *x = a->x + r * a->in;
        for (int o = 0; o < a->out; o++) {
            for (int i = 0; i < a->in; i++) a->dw[(int64_t)o * a->in + i] += dz[o] * x[i];
            if (a->db) a->db[o] += dz[o];
        }
        if (!a->dx) continue;
        float *dx = a->dx + r * a->in;
        for (int i = 0; i < a->in; i++) dx[i] = 0.0f;
        for (int o = 0; o < a->out; o++)
            for (int i = 0; i < a->in; i++) dx[i] += dz[o] * a->weight[(int64_t)o * a->in + i];
        MT_ISA_NAME(mt_activate_backward)
        (a->x_activation, a->in, x, a->x_pre ? a->x_pre + r * a->in : NULL, dx, dx);
    }
}
