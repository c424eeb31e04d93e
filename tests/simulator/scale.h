// How the core scales: tasks of a fixed virtual time on 10 to 10,000 virtual ranks, submitted by one driver or by every rank.
#ifndef MANTA_TESTS_SIMULATOR_SCALE_H
#define MANTA_TESTS_SIMULATOR_SCALE_H

#include <stdio.h>

// CSV to `out`; ranks 0: 10, 100, 1,000 and 10,000. The exit status.
int mt_scale_run(int ranks, FILE *out);

#endif
