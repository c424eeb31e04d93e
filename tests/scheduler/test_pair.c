// Ranks that share a policy's nets: who pairs, what they tell each other, and failing together. mpi_pair.c is the ranks'
// program; that the shared nets have the bits of the others is tests/apps/test_train.c's.
#include <criterion/criterion.h>

#include "tests/engine/mpi_launch.h"

static void ranks_pass(int ranks) {
    static launch_result result;
    const char *arguments[] = {NULL};
    launch_mpirun(ranks, NULL, MPI_PAIR, arguments, 60, &result);
    cr_assert_eq(result.status, 0, "%d ranks ended with %d:\n%s", ranks, result.status, result.output);
}

Test(pair, one_rank_is_nobodys_half) { ranks_pass(1); }
Test(pair, two_ranks) { ranks_pass(2); }
Test(pair, three_ranks_do_not_pair) { ranks_pass(3); }
Test(pair, four_ranks_are_two_pairs) { ranks_pass(4); }
