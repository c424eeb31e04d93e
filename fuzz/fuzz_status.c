// What manta status and the ranks read of each other: questions, heads of answers, and a rank's own answer.
#include "engine/runtime/status/census.h"
#include "engine/runtime/status/status_socket.h"
#include "fuzz/fuzz.h"

static void fuzz_rank(const void *data, size_t bytes) {
    mt_rank_entry entry;
    mt_actor_entry *actors;
    mt_resource_names names;
    mt_resource_names_init(&names);
    mt_status status = mt_census_decode(data, bytes, &entry, &actors);
    FUZZ_CHECK(status == MT_OK || status == MT_CORRUPT);
    if (status != MT_OK) return;
    FUZZ_CHECK(memchr(entry.host, 0, sizeof entry.host) && entry.listed <= MT_CENSUS_ACTORS_MAX);
    for (uint32_t i = 0; i < entry.listed; i++) FUZZ_CHECK(memchr(actors[i].name, 0, sizeof actors[i].name));
    // whatever it says, it can be printed
    mt_census_rank rank = {.state = MT_RANK_ANSWERED, .entry = entry, .actors = actors};
    mt_census census = {.size = 1, .ranks = &rank, .names = &names};
    mt_census_title title = {.job = entry.host, .command = "", .pid = entry.pid};
    mt_text text = {0};
    status = mt_census_prometheus(&census, &title, &text);
    FUZZ_CHECK(status == MT_OK && text.length && text.data[text.length - 1] == '\n');
    mt_text_clear(&text);
    status = mt_census_json(&census, &title, &text);   // a host that is no UTF-8 is no JSON
    FUZZ_CHECK(status == MT_OK || status == MT_NO_MEMORY);
    mt_text_fini(&text);
    free(actors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    void *copy = fuzz_copy(data, bytes);
    mt_status_form form = MT_STATUS_FORMS;
    size_t head = 0;
    uint64_t body = 0;
    mt_status status = mt_status_request_parse(copy, bytes, &form);
    FUZZ_CHECK(status == MT_OK ? form < MT_STATUS_FORMS : status == MT_INVALID_ARGUMENT);
    status = mt_status_answer_parse(copy, bytes, &head, &body);
    FUZZ_CHECK(status == MT_OK ? head <= bytes && head <= MT_STATUS_HEAD_BYTES && body <= MT_STATUS_BODY_MAX : status == MT_CORRUPT || status == MT_COMM);
    fuzz_rank(copy, bytes);
    free(copy);
    return 0;
}
