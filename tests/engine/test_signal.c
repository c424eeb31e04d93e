// signal.h: a first signal is noted, a second SIGINT leaves.
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine/base/signal.h"

Test(signal, noted_until_cleared) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGUSR1};
    cr_assert_eq(mt_signal_start(), MT_OK);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(mt_signal_pending(), 0);
        raise(numbers[i]);
        cr_assert_eq(mt_signal_pending(), numbers[i]);
        if (i) raise(numbers[i]);
        mt_signal_clear();
    }
    raise(SIGTERM);
    raise(SIGINT);
    cr_assert_eq(mt_signal_pending(), SIGTERM);
    cr_assert_str_eq(mt_signal_name(SIGUSR1), "SIGUSR1");
    cr_assert_str_eq(mt_signal_name(0), "a signal");
}

Test(signal, a_second_interrupt_leaves_at_once) {
    pid_t child = fork();
    if (child == 0) {
        mt_signal_start();
        raise(SIGINT);
        raise(SIGINT);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 130);
}
