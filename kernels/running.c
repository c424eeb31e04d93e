// Merging and reading running statistics. Chan, Golub & LeVeque 1979. Plain C, called once a step or less; any thread.
#include "kernels/kernels.h"

#include <math.h>

void mt_running_merge(mt_running *into, const mt_running *from) {
    if (from->count <= 0) return;
    double total = into->count + from->count, weight = from->count / total, cross = into->count * weight;
    for (int c = 0; c < into->columns; c++) {
        double delta = from->mean[c] - into->mean[c];
        into->mean[c] += delta * weight;
        into->m2[c] += from->m2[c] + delta * delta * cross;
    }
    into->count = total;
}

void mt_running_scale(const mt_running *stats, double eps, float *mean, float *inv_std) {
    // before the first row: mean 0, variance 1, as Gymnasium's RunningMeanStd starts
    for (int c = 0; c < stats->columns; c++) {
        double var = stats->count > 0 ? stats->m2[c] / stats->count : 1.0;
        mean[c] = stats->count > 0 ? (float)stats->mean[c] : 0.0f;
        inv_std[c] = (float)(1.0 / sqrt(var + eps));
    }
}
