// TensorBoard files: CRC32C against published vectors, and what was written read back by a parser of its own.
#include <math.h>
#include <sys/wait.h>
#include "scheduler/report/tensorboard.h"
#include "test_report_common.h"

TestSuite(report_tensorboard, .init = make_test_folder, .fini = remove_test_folder);

Test(report_tensorboard, crc32c_is_rfc_3720s) {
    unsigned char bytes[32] = {0};
    cr_assert_eq(mt_crc32c("", 0), 0);
    cr_assert_eq(mt_crc32c("123456789", 9), 0xe3069283u);
    cr_assert_eq(mt_crc32c(bytes, 32), 0x8a9136aau);
    memset(bytes, 0xff, 32);
    cr_assert_eq(mt_crc32c(bytes, 32), 0x62a8ab43u);
    for (int i = 0; i < 32; i++) bytes[i] = (unsigned char)i;
    cr_assert_eq(mt_crc32c(bytes, 32), 0x46dd794eu);
    for (int i = 0; i < 32; i++) bytes[i] = (unsigned char)(31 - i);
    cr_assert_eq(mt_crc32c(bytes, 32), 0x113fdb5cu);
    // how every event file in the world begins: length 24, then a3 7f 4b 22
    cr_assert_eq(mt_crc32c_masked("\x18\0\0\0\0\0\0\0", 8), 0x224b7fa3u);
}

// --- a reader: enough protobuf to see all that manta writes --------------------------------------------------------

typedef struct event {
    double wall_time;
    uint64_t step;
    char version[32];
    int session_status;   // -1: none
    size_t value_count;
    char tags[MT_METRIC_COUNT][64];
    float values[MT_METRIC_COUNT];
} event;

typedef struct bytes {
    const unsigned char *at, *end;
} bytes;

static uint64_t fixed(bytes *b, int count) {
    cr_assert(b->end - b->at >= count);
    uint64_t value = 0;
    for (int i = 0; i < count; i++) value |= (uint64_t)*b->at++ << (8 * i);
    return value;
}

static uint64_t varint(bytes *b) {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        unsigned char byte = (unsigned char)fixed(b, 1);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return value;
    }
}

static bytes block(bytes *b) {
    uint64_t length = varint(b);
    cr_assert(length <= (uint64_t)(b->end - b->at));
    bytes inner = {b->at, b->at + length};
    b->at += length;
    return inner;
}

static void copy_string(bytes b, char *out, size_t room) {
    cr_assert_lt((size_t)(b.end - b.at), room);
    memcpy(out, b.at, (size_t)(b.end - b.at));
    out[b.end - b.at] = '\0';
}

static void read_summary(bytes b, event *e) {
    while (b.at < b.end) {
        cr_assert_eq(varint(&b), 1 << 3 | 2);
        bytes value = block(&b);
        cr_assert_eq(varint(&value), 1 << 3 | 2);
        copy_string(block(&value), e->tags[e->value_count], sizeof e->tags[0]);
        cr_assert_eq(varint(&value), 2 << 3 | 5);
        uint32_t bits = (uint32_t)fixed(&value, 4);
        memcpy(&e->values[e->value_count++], &bits, sizeof bits);
        cr_assert_eq(value.at, value.end);
    }
}

static void read_event(bytes b, event *e) {
    *e = (event){.session_status = -1};
    while (b.at < b.end) {
        uint64_t key = varint(&b), bits;
        switch (key) {
        case 1 << 3 | 1: bits = fixed(&b, 8), memcpy(&e->wall_time, &bits, 8); break;
        case 2 << 3 | 0: e->step = varint(&b); break;
        case 3 << 3 | 2: copy_string(block(&b), e->version, sizeof e->version); break;
        case 5 << 3 | 2: read_summary(block(&b), e); break;
        case 7 << 3 | 2: {
            bytes session = block(&b);
            cr_assert_eq(varint(&session), 1 << 3 | 0);
            e->session_status = (int)varint(&session);
            break;
        }
        default: cr_assert_fail("unknown field %llu", (unsigned long long)key);
        }
    }
}

// Every record of a file; a byte too many or a wrong checksum fails the test.
static size_t read_file(const char *path, event *events, size_t max) {
    char *data;
    size_t size, count = 0;
    CHECK_OK(mt_file_read(path, 1 << 26, &data, &size));
    bytes b = {(unsigned char *)data, (unsigned char *)data + size};
    while (b.at < b.end) {
        cr_assert_lt(count, max);
        const unsigned char *head = b.at;
        uint64_t length = fixed(&b, 8);
        cr_assert_eq((uint32_t)fixed(&b, 4), mt_crc32c_masked(head, 8));
        cr_assert(length <= (uint64_t)(b.end - b.at));
        bytes record = {b.at, b.at + length};
        b.at += length;
        cr_assert_eq((uint32_t)fixed(&b, 4), mt_crc32c_masked(record.at, length));
        read_event(record, &events[count++]);
    }
    free(data);
    return count;
}

static mt_metrics_row row_at(double steps, double reward) {
    mt_metrics_row row;
    mt_metrics_row_clear(&row);
    row.value[MT_METRIC_TOTAL_TIMESTEPS] = steps;
    row.value[MT_METRIC_EP_REW_MEAN] = reward;
    return row;
}

// --- tests ---------------------------------------------------------------------------------------------------------

Test(report_tensorboard, rows_come_back) {
    mt_tensorboard *board;
    CHECK_OK(mt_tensorboard_open(at("new/tb"), -1, &board));
    char *path = strdup(mt_tensorboard_path(board));
    cr_assert_not_null(strstr(path, "/new/tb/events.out.tfevents."));

    mt_metrics_row row = row_at(3e9, 21.5);
    CHECK_OK(mt_tensorboard_write(board, &row, 1700000000.25));
    for (int i = 0; i < MT_METRIC_COUNT; i++) row.value[i] = i;
    CHECK_OK(mt_tensorboard_write(board, &row, 1700000001));   // the largest row there is
    mt_metrics_row_clear(&row);
    CHECK_OK(mt_tensorboard_write(board, &row, 1700000002));   // nothing in it: no record
    CHECK_OK(mt_tensorboard_close(board));

    static event e[8];
    cr_assert_eq(read_file(path, e, 8), 3);
    cr_assert_str_eq(e[0].version, "brain.Event:2");
    cr_assert_gt(e[0].wall_time, 1.6e9);
    cr_assert_eq(e[1].step, 3000000000u);
    cr_assert_eq(e[1].wall_time, 1700000000.25);
    cr_assert_eq(e[1].value_count, 1);
    cr_assert_str_eq(e[1].tags[0], "rollout/ep_rew_mean");
    cr_assert_eq(e[1].values[0], 21.5f);
    cr_assert_eq(e[2].value_count, MT_METRIC_COUNT - 1);   // all but the step itself
    for (size_t i = 0; i < e[2].value_count; i++) cr_assert_eq((float)mt_metric_find(e[2].tags[i]), e[2].values[i]);
    free(path);
}

Test(report_tensorboard, a_resumed_run_gets_a_later_file_that_restarts_at_its_step) {
    mt_tensorboard *board;
    CHECK_OK(mt_folder_make(at("tb"), MT_FOLDER_PUBLIC));
    spill(at("tb/events.out.tfevents.4000000000.elsewhere.1.0"), "");   // a clock that has gone back since
    CHECK_OK(mt_tensorboard_open(at("tb"), 2048, &board));
    char *path = strdup(mt_tensorboard_path(board));
    cr_assert_not_null(strstr(path, "tfevents.4000000001."));
    CHECK_OK(mt_tensorboard_close(board));
    CHECK_OK(mt_tensorboard_open(at("tb"), 2048, &board));   // twice in one second
    cr_assert_not_null(strstr(mt_tensorboard_path(board), "tfevents.4000000002."));
    CHECK_OK(mt_tensorboard_close(board));

    static event e[2];
    cr_assert_eq(read_file(path, e, 2), 2);
    cr_assert_eq(e[1].session_status, 1);
    cr_assert_eq(e[1].step, 2049);
    free(path);
}

Test(report_tensorboard, a_full_disk_tears_no_record) {
    mt_tensorboard *board;
    CHECK_OK(mt_tensorboard_open(at("tb"), -1, &board));
    mt_metrics_row row = row_at(1, 1);
    CHECK_OK(mt_tensorboard_write(board, &row, 1));
    CHECK_OK(mt_failpoint_set("file.write:ENOSPC"));
    CHECK_FAIL(IO, "tfevents", mt_tensorboard_write(board, &row, 2));
    CHECK_OK(mt_failpoint_set(NULL));
    row = row_at(3, 3);
    CHECK_OK(mt_tensorboard_write(board, &row, 3));
    static event e[4];
    cr_assert_eq(read_file(mt_tensorboard_path(board), e, 4), 3);
    cr_assert_eq(e[2].step, 3);
    CHECK_OK(mt_tensorboard_close(board));
}

Test(report_tensorboard, bad_folders_are_errors) {
    mt_tensorboard *board;
    spill(at("file"), "");
    CHECK_FAIL(EXISTS, "file", mt_tensorboard_open(at("file"), -1, &board));
    cr_assert_null(board);
    CHECK_OK(mt_failpoint_set("file.open:EACCES"));
    CHECK_FAIL(IO, "TensorBoard", mt_tensorboard_open(at("tb"), -1, &board));
    CHECK_OK(mt_failpoint_set("file.write:ENOSPC"));
    CHECK_FAIL(IO, "TensorBoard", mt_tensorboard_open(at("tb"), -1, &board));
    cr_assert_null(board);
    CHECK_OK(mt_tensorboard_close(NULL));
}
