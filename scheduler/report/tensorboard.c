// TensorBoard event files, written without TensorFlow: CRC32C, TFRecord framing and the few protobuf fields they need.
// One owner, one thread. Every record is written whole or not at all (append_file.h), so a full disk never leaves a
// file that readers give up on.
//
// On the wire (all little-endian):
//     record   = u64 length, u32 masked crc of those 8 bytes, data, u32 masked crc of data
//     Event    = 1: double wall_time, 2: int64 step, 3: string file_version | 5: Summary | 7: SessionLog
//     Summary  = 1: repeated Value {1: string tag, 2: float simple_value}
#include "scheduler/report/tensorboard.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "engine/base/file.h"
#include "engine/base/protobuf.h"
#include "scheduler/report/append_file.h"

enum { HEAD_BYTES = 12, TAIL_BYTES = 4, HOST_BYTES = 256 };

struct mt_tensorboard {
    mt_append_file file;
    mt_text record;   // the one being put together; its memory is kept
};

// --- CRC32C --------------------------------------------------------------------------------------------------------

uint32_t mt_crc32c(const void *data, size_t bytes) {
    // bit by bit: a row is a kilobyte or two per log interval, a table would be the larger part of this file
    const unsigned char *p = data;
    uint32_t crc = ~UINT32_C(0);
    while (bytes--) {
        crc ^= *p++;
        for (int k = 0; k < 8; k++) crc = (crc >> 1) ^ (UINT32_C(0x82f63b78) & (0 - (crc & 1)));
    }
    return ~crc;
}

uint32_t mt_crc32c_masked(const void *data, size_t bytes) {
    uint32_t crc = mt_crc32c(data, bytes);
    return ((crc >> 15) | (crc << 17)) + UINT32_C(0xa282ead8);
}

// --- events --------------------------------------------------------------------------------------------------------

enum { EVENT_WALL_TIME = 1, EVENT_STEP = 2, EVENT_FILE_VERSION = 3, EVENT_SUMMARY = 5, EVENT_SESSION_LOG = 7 };
enum { SUMMARY_VALUE = 1, VALUE_TAG = 1, VALUE_SIMPLE_VALUE = 2, SESSION_STATUS = 1, SESSION_START = 1 };

// an Event is built in place behind room for its frame
static mt_text *event_begin(mt_tensorboard *board, double wall_time, int64_t step) {
    static const char room[HEAD_BYTES];
    mt_text *event = &board->record;
    mt_text_clear(event);
    mt_text_append_bytes(event, room, HEAD_BYTES);
    mt_protobuf_double(event, EVENT_WALL_TIME, wall_time);
    if (step != 0) mt_protobuf_varint(event, EVENT_STEP, (uint64_t)step);
    return event;
}

static mt_status event_write(mt_tensorboard *board) {
    mt_text *record = &board->record;
    unsigned char tail[TAIL_BYTES];
    MT_TRY(mt_text_status(record));
    size_t bytes = record->length - HEAD_BYTES;
    mt_put_little_endian(record->data, bytes, 8);
    mt_put_little_endian(record->data + 8, mt_crc32c_masked(record->data, 8), 4);
    mt_put_little_endian(tail, mt_crc32c_masked(record->data + HEAD_BYTES, bytes), TAIL_BYTES);
    mt_text_append_bytes(record, (const char *)tail, TAIL_BYTES);
    MT_TRY(mt_text_status(record));
    return mt_append_file_write(&board->file, record->data, record->length);
}

static mt_status write_opening(mt_tensorboard *board, double wall_time, int64_t resume_step) {
    mt_protobuf_string(event_begin(board, wall_time, 0), EVENT_FILE_VERSION, "brain.Event:2");
    MT_TRY(event_write(board));
    if (resume_step < 0) return MT_OK;

    mt_text *event = event_begin(board, wall_time, resume_step + 1);
    size_t session = mt_protobuf_begin(event, EVENT_SESSION_LOG);
    mt_protobuf_varint(event, SESSION_STATUS, SESSION_START);
    mt_protobuf_end(event, session);
    return event_write(board);
}

mt_status mt_tensorboard_write(mt_tensorboard *board, const mt_metrics_row *row, double wall_time) {
    double step = row->value[MT_METRIC_TOTAL_TIMESTEPS];
    mt_text *event = event_begin(board, wall_time, step >= 0 && step < 9e18 ? (int64_t)step : 0);
    size_t summary = mt_protobuf_begin(event, EVENT_SUMMARY);
    int values = 0;
    for (int i = 0; i < MT_METRIC_COUNT; i++) {
        if (isnan(row->value[i]) || i == MT_METRIC_TOTAL_TIMESTEPS) continue;
        size_t value = mt_protobuf_begin(event, SUMMARY_VALUE);
        mt_protobuf_string(event, VALUE_TAG, mt_metric_get((mt_metric)i)->name);
        mt_protobuf_float(event, VALUE_SIMPLE_VALUE, (float)row->value[i]);
        mt_protobuf_end(event, value);
        values++;
    }
    mt_protobuf_end(event, summary);
    return values ? event_write(board) : MT_OK;
}

// --- the file ------------------------------------------------------------------------------------------------------

// Seconds for the file's name: now, or one past the newest event file that is there, so that names sort by age even
// when the clock went back or two starts fall into one second.
static mt_status name_seconds(const char *folder, int64_t now, int64_t *out) {
    mt_folder_names names;
    MT_TRY(mt_folder_list(folder, &names));
    *out = now;
    for (size_t i = 0; i < names.count; i++) {
        long long seconds;
        if (sscanf(names.names[i], "events.out.tfevents.%lld.", &seconds) == 1 && seconds >= *out &&
            seconds < INT64_MAX)
            *out = seconds + 1;
    }
    mt_folder_names_fini(&names);
    return MT_OK;
}

static mt_status open_file(mt_tensorboard *board, const char *folder, int64_t now) {
    char host[HOST_BYTES] = "localhost", path[MT_PATH_BYTES];
    if (gethostname(host, sizeof host) != 0 || host[0] == '\0') strcpy(host, "localhost");
    host[sizeof host - 1] = '\0';
    for (char *c = host; *c; c++)
        if (*c == '/') *c = '-';

    int64_t seconds;
    MT_TRY(name_seconds(folder, now, &seconds));
    int length = snprintf(
        path, sizeof path, "%s/events.out.tfevents.%010lld.%s.%ld.0", folder, (long long)seconds, host, (long)getpid());
    if (length < 0 || (size_t)length >= sizeof path)
        return MT_FAIL(INVALID_ARGUMENT, "the TensorBoard folder's path is too long: %s", folder);
    return mt_append_file_open(&board->file, path, MT_APPEND_CREATE);
}

mt_status mt_tensorboard_open(const char *folder, int64_t resume_step, mt_tensorboard **out) {
    *out = NULL;
    mt_tensorboard *board = calloc(1, sizeof *board);
    if (!board) return MT_FAIL(NO_MEMORY, "out of memory for a TensorBoard writer");
    board->file.fd = -1;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);   // for people and TensorBoard's time axis; nothing decides by it

    mt_status status;
    MT_TRY_GOTO(mt_folder_make(folder, MT_FOLDER_PUBLIC), fail);
    MT_TRY_GOTO(open_file(board, folder, now.tv_sec), fail);
    MT_TRY_GOTO(write_opening(board, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec, resume_step), fail);
    *out = board;
    return MT_OK;

fail:
    mt_append_file_close(&board->file);
    mt_text_fini(&board->record);
    free(board);
    return mt_fail_context(status, "TensorBoard: ");
}

const char *mt_tensorboard_path(const mt_tensorboard *board) { return board->file.path; }

mt_status mt_tensorboard_close(mt_tensorboard *board) {
    if (!board) return MT_OK;
    mt_status status = mt_append_file_close(&board->file);
    mt_text_fini(&board->record);
    free(board);
    return status;
}
