// Who does what in a training job. Pure functions.
#include "scheduler/layout.h"

#include <stdio.h>

static int greatest_common_divisor(int a, int b) { return b ? greatest_common_divisor(b, a % b) : a; }

// W: n_workers; else 4 with --deterministic wherever a layout can have it, so that 1, 2 and 4 ranks and 1 + 3 agree without being
// told; else one per thread of every runner, as far as there are environments.
static int choose_workers(const mt_layout *l, const mt_train_config *train, const mt_ppo_config *ppo, int threads) {
    int step = l->learners / greatest_common_divisor(l->learners, l->runners) * l->runners;
    if (train->n_workers) return train->n_workers;
    // never from the machine; runners need not have equally many
    if (train->deterministic) return 4 % l->learners == 0 && 4 >= l->runners && ppo->learner.batch_size >= 4 ? 4 : step;
    int workers = step * threads;
    // no worker without an environment or without a row of a minibatch, as long as every runner has one worker
    while (workers > step && (workers > ppo->n_envs || workers > ppo->learner.batch_size)) workers -= step;
    return workers;
}

// "1, 2 or 4": what divides the workers
static const char *list_divisors(int workers, char out[96]) {
    size_t used = 0, last = 0;
    for (int d = 1; d <= workers && used < 80; d++) {
        if (workers % d) continue;
        last = used;
        used += (size_t)snprintf(out + used, 96 - used, "%s%d", used ? ", " : "", d);
    }
    char tail[96];
    snprintf(tail, sizeof tail, "%s", out + last + 2);
    if (last) snprintf(out + last, 96 - last, " or %s", tail);
    return out;
}

// A resumed run keeps its workers: the ranks have to fit.
static mt_status refuse_uneven(const mt_layout *l, const mt_train_config *train) {
    char divisors[96];
    const char *what = train->num_learners ? "learners" : "ranks";
    if (*train->resume)
        return MT_FAIL(CONFIG, "n_workers %d over %d %s: each has the same number of logical workers, and a run keeps its own; resume it on %s %s",
            l->workers, l->learners, what, list_divisors(l->workers, divisors), what);
    return MT_FAIL(CONFIG, "n_workers %d over %d %s: each has the same number of logical workers; use a multiple of %d",
        l->workers, l->learners, what, l->learners);
}

mt_status mt_layout_init(mt_layout *l, const mt_train_config *train, const mt_ppo_config *ppo, int ranks, int threads) {
    *l = (mt_layout){.ranks = ranks, .envs = ppo->n_envs};
    l->learners = train->num_learners ? train->num_learners : ranks;
    l->runners = train->num_env_runners ? train->num_env_runners : ranks;
    if (l->learners > ranks)
        return MT_FAIL(CONFIG, "num_learners %d on %d rank%s: learners sum their gradients between ranks, one on each at most; use "
            "more ranks (mpirun -n) or fewer num_learners", l->learners, ranks, ranks > 1 ? "s" : "");
    l->workers = choose_workers(l, train, ppo, threads);
    if (l->workers % l->learners) return refuse_uneven(l, train);
    if (l->workers < l->runners)
        return MT_FAIL(CONFIG, "n_workers %d for %d environment runners: each has at least one; use more n_workers or fewer "
            "num_env_runners", l->workers, l->runners);
    return MT_OK;
}

int mt_layout_threads(const mt_layout *l, int threads) {
    int most = (l->workers + l->runners - 1) / l->runners, learner = mt_layout_learner_workers(l);
    if (learner > most) most = learner;
    return threads < most ? threads : most;
}

// Apart when there are ranks for both.
static int apart(const mt_layout *l) { return l->learners + l->runners <= l->ranks; }

int mt_layout_learner_rank(const mt_layout *l, int learner) {
    return apart(l) ? learner : (int)((int64_t)learner * l->ranks / l->learners);
}

int mt_layout_runner_rank(const mt_layout *l, int runner) {
    if (apart(l)) return l->learners + runner;
    return l->runners >= l->ranks ? runner % l->ranks : (int)((int64_t)runner * l->ranks / l->runners);
}

// how many earlier ranks are on the same host
static int place_on_host(const int *node_of, int rank) {
    int place = 0;
    for (int r = 0; r < rank; r++) place += node_of[r] == node_of[rank];
    return place;
}

// Hosts by number or turns by number; ranks by number within. Jobs have some thousand ranks at most, and this runs once.
void mt_layout_order(const mt_layout *l, mt_placement placement, const int *node_of, int *order) {
    int taken = 0;
    for (int key = 0; taken < l->ranks; key++)
        for (int r = 0; r < l->ranks; r++)
            if ((placement == MT_PLACEMENT_PACK ? node_of[r] : place_on_host(node_of, r)) == key) order[taken++] = r;
}

int mt_layout_placed_learner(const mt_layout *l, const int *order, int learner) { return order[learner % l->ranks]; }

int mt_layout_placed_runner(const mt_layout *l, const int *order, int runner) {
    return order[(apart(l) ? l->learners + runner : runner) % l->ranks];
}
