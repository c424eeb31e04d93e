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
#include "scheduler/report/append_file.h"

enum { MESSAGE_BYTES = 8192, FRAME_BYTES = 12, HOST_BYTES = 256 };

struct mt_tensorboard {
    mt_append_file file;
    unsigned char record[MESSAGE_BYTES + FRAME_BYTES + 4];   // the record being put together
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

// --- protobuf, into a buffer that MESSAGE_BYTES bounds -------------------------------------------------------------

typedef struct message {
    unsigned char *data;
    size_t length, capacity;
} message;

static void put_bytes(message *m, const void *data, size_t bytes) {
    MT_ASSERT(bytes <= m->capacity - m->length);
    memcpy(m->data + m->length, data, bytes);
    m->length += bytes;
}

static void put_u8(message *m, unsigned value) {
    unsigned char byte = (unsigned char)value;
    put_bytes(m, &byte, 1);
}

static void put_little_endian(message *m, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) put_u8(m, (unsigned)(value >> (8 * i)) & 0xff);
}

static void put_varint(message *m, uint64_t value) {
    for (; value >= 0x80; value >>= 7) put_u8(m, (unsigned)(value & 0x7f) | 0x80);
    put_u8(m, (unsigned)value);
}

enum { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_LENGTH = 2, WIRE_32BIT = 5 };

static void put_key(message *m, unsigned field, unsigned wire_type) { put_varint(m, field << 3 | wire_type); }

static void put_block(message *m, unsigned field, const void *data, size_t bytes) {
    put_key(m, field, WIRE_LENGTH);
    put_varint(m, bytes);
    put_bytes(m, data, bytes);
}

static void put_double(message *m, unsigned field, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(m, field, WIRE_64BIT);
    put_little_endian(m, bits, 8);
}

static void put_float(message *m, unsigned field, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(m, field, WIRE_32BIT);
    put_little_endian(m, bits, 4);
}

// --- events --------------------------------------------------------------------------------------------------------

enum { EVENT_WALL_TIME = 1, EVENT_STEP = 2, EVENT_FILE_VERSION = 3, EVENT_SUMMARY = 5, EVENT_SESSION_LOG = 7 };
enum { SUMMARY_VALUE = 1, VALUE_TAG = 1, VALUE_SIMPLE_VALUE = 2, SESSION_STATUS = 1, SESSION_START = 1 };

// an Event is built in place behind room for its frame
static message event_begin(mt_tensorboard *board, double wall_time, int64_t step) {
    message event = {.data = board->record + FRAME_BYTES, .capacity = MESSAGE_BYTES};
    put_double(&event, EVENT_WALL_TIME, wall_time);
    if (step != 0) {
        put_key(&event, EVENT_STEP, WIRE_VARINT);
        put_varint(&event, (uint64_t)step);
    }
    return event;
}

static mt_status event_write(mt_tensorboard *board, const message *event) {
    message head = {.data = board->record, .capacity = FRAME_BYTES};
    put_little_endian(&head, event->length, 8);
    put_little_endian(&head, mt_crc32c_masked(board->record, 8), 4);
    message tail = {.data = board->record + FRAME_BYTES + event->length, .capacity = 4};
    put_little_endian(&tail, mt_crc32c_masked(event->data, event->length), 4);
    return mt_append_file_write(&board->file, board->record, FRAME_BYTES + event->length + 4);
}

static mt_status write_opening(mt_tensorboard *board, double wall_time, int64_t resume_step) {
    static const char version[] = "brain.Event:2";
    message event = event_begin(board, wall_time, 0);
    put_block(&event, EVENT_FILE_VERSION, version, sizeof version - 1);
    MT_TRY(event_write(board, &event));
    if (resume_step < 0) return MT_OK;

    unsigned char bytes[4];
    message session = {.data = bytes, .capacity = sizeof bytes};
    put_key(&session, SESSION_STATUS, WIRE_VARINT);
    put_varint(&session, SESSION_START);
    event = event_begin(board, wall_time, resume_step + 1);
    put_block(&event, EVENT_SESSION_LOG, bytes, session.length);
    return event_write(board, &event);
}

mt_status mt_tensorboard_write(mt_tensorboard *board, const mt_metrics_row *row, double wall_time) {
    unsigned char summary_bytes[MESSAGE_BYTES / 2], value_bytes[256];
    message summary = {.data = summary_bytes, .capacity = sizeof summary_bytes};
    for (int i = 0; i < MT_METRIC_COUNT; i++) {
        if (isnan(row->value[i]) || i == MT_METRIC_TOTAL_TIMESTEPS) continue;
        const char *tag = mt_metric_get((mt_metric)i)->name;
        message value = {.data = value_bytes, .capacity = sizeof value_bytes};
        put_block(&value, VALUE_TAG, tag, strlen(tag));
        put_float(&value, VALUE_SIMPLE_VALUE, (float)row->value[i]);
        put_block(&summary, SUMMARY_VALUE, value_bytes, value.length);
    }
    if (summary.length == 0) return MT_OK;
    double step = row->value[MT_METRIC_TOTAL_TIMESTEPS];
    message event = event_begin(board, wall_time, step >= 0 && step < 9e18 ? (int64_t)step : 0);
    put_block(&event, EVENT_SUMMARY, summary_bytes, summary.length);
    return event_write(board, &event);
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
    free(board);
    return mt_fail_context(status, "TensorBoard: ");
}

const char *mt_tensorboard_path(const mt_tensorboard *board) { return board->file.path; }

mt_status mt_tensorboard_close(mt_tensorboard *board) {
    if (!board) return MT_OK;
    mt_status status = mt_append_file_close(&board->file);
    free(board);
    return status;
}
