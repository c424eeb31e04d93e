// The status that the message of an actor's failure carries.
#include "scheduler/actor_failure.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(actor_failure, every_status_comes_through) {
    for (int s = MT_OK + 1; s < MT_STATUS_COUNT; s++) {
        char message[128], text[128];
        snprintf(message, sizeof message, "EnvRunner.load: [%s] the blob [IO] ends", mt_status_name((mt_status)s));
        cr_expect_eq(mt_actor_failure_read(message, MT_ENV, text, sizeof text), (mt_status)s, "%s", message);
        cr_expect_str_eq(text, "EnvRunner.load: the blob [IO] ends");
    }
}

Test(actor_failure, a_message_without_one_is_left_as_it_is) {
    static const char *const messages[] = {"", "rank 1 died", "[] x", "[", "[OK] x", "[CORRUP] x", "[CORRUPT]x", "[corrupt] x", "[CORRUPT", "["};
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        char text[64];
        cr_expect_eq(mt_actor_failure_read(messages[i], MT_INTERNAL, text, sizeof text), MT_INTERNAL, "%s", messages[i]);
        cr_expect_str_eq(text, messages[i]);
    }
}
