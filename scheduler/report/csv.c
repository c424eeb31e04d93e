// progress.csv and monitor.csv, written; csv.h says what stands in them. One owner, one thread each.
#include "scheduler/report/csv.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/base/file.h"
#include "engine/base/text.h"
#include "scheduler/report/append_file.h"
#include "scheduler/report/csv_table.h"

// Whole numbers without ".0", others by their shortest text; both read back to the same double.
static void append_number(mt_text *text, double value) {
    char buffer[MT_F64_TEXT_BYTES];
    if (isnan(value)) return;
    if (isinf(value)) mt_text_append(text, value > 0 ? "inf" : "-inf");
    else if (value == floor(value) && fabs(value) < 9e15) mt_text_printf(text, "%.0f", value);
    else mt_text_append(text, mt_format_f64(value, buffer, sizeof buffer));
}

// --- progress.csv --------------------------------------------------------------------------------------------------

struct mt_progress_csv {
    mt_append_file file;
    mt_metric_set columns;
    mt_text line;   // reused, so that a row allocates nothing after the first
};

static int has(mt_metric_set set, int metric) { return (int)(set >> metric & 1); }

static void append_header(mt_text *text, mt_metric_set columns) {
    const char *comma = "";
    for (int i = 0; i < MT_METRIC_COUNT; i++) {
        if (!has(columns, i)) continue;
        mt_text_printf(text, "%s%s", comma, mt_metric_get((mt_metric)i)->name);
        comma = ",";
    }
    mt_text_append(text, "\n");
}

static void append_row(mt_text *text, mt_metric_set columns, const mt_metrics_row *row) {
    const char *comma = "";
    for (int i = 0; i < MT_METRIC_COUNT; i++) {
        if (!has(columns, i)) continue;
        mt_text_append(text, comma);
        append_number(text, row->value[i]);
        comma = ",";
    }
    mt_text_append(text, "\n");
}

static mt_status progress_open(const char *path, mt_metric_set columns, mt_append_mode mode, mt_progress_csv **out) {
    mt_progress_csv *csv = calloc(1, sizeof *csv);
    if (!csv) return MT_FAIL(NO_MEMORY, "out of memory for %s", path);
    csv->columns = columns;
    mt_status status = mt_append_file_open(&csv->file, path, mode);
    if (status == MT_OK && mode == MT_APPEND_CREATE) {
        append_header(&csv->line, columns);
        status = mt_text_status(&csv->line);
        if (status == MT_OK) status = mt_append_file_write(&csv->file, mt_text_str(&csv->line), csv->line.length);
        if (status != MT_OK) unlink(path);   // a file without its header would block the next try
    }
    if (status != MT_OK) {
        mt_progress_csv_close(csv);
        return status;
    }
    *out = csv;
    return MT_OK;
}

mt_status mt_progress_csv_create(const char *path, mt_metric_set columns, mt_progress_csv **out) {
    *out = NULL;
    return progress_open(path, (columns & MT_METRIC_ALL) | MT_METRIC_BIT(TOTAL_TIMESTEPS), MT_APPEND_CREATE, out);
}

// Which metric each column of the table is, and all of them as a set.
static mt_status map_columns(const char *path, const mt_csv_table *table, mt_metric *metric, mt_metric_set *set) {
    for (size_t i = 0; i < table->column_count; i++) {
        metric[i] = mt_metric_find(table->names[i]);
        if (metric[i] == MT_METRIC_COUNT)
            return MT_FAIL(CORRUPT,
                "%s:1: column \"%.64s\" is no metric of this manta; move the file away to go on without it", path,
                table->names[i]);
        *set |= (mt_metric_set)1 << metric[i];
    }
    if (mt_csv_table_column(table, mt_metric_get(MT_METRIC_TOTAL_TIMESTEPS)->name) < 0)
        return MT_FAIL(CORRUPT, "%s:1: no column time/total_timesteps; move the file away to go on without it", path);
    return MT_OK;
}

static mt_status rewrite(const char *path, const mt_csv_table *table, int64_t resume_step, mt_metric_set *columns) {
    mt_metric metric[MT_CSV_COLUMNS_MAX];
    MT_TRY(map_columns(path, table, metric, columns));
    mt_text text = {0};
    append_header(&text, *columns);
    for (size_t r = 0; r < table->row_count; r++) {
        mt_metrics_row row;
        mt_metrics_row_clear(&row);
        for (size_t c = 0; c < table->column_count; c++)
            row.value[metric[c]] = table->values[r * table->column_count + c];
        if (row.value[MT_METRIC_TOTAL_TIMESTEPS] <= (double)resume_step) append_row(&text, *columns, &row);
    }
    mt_status status = mt_text_status(&text);
    if (status == MT_OK) status = mt_file_write_atomic(path, mt_text_str(&text), text.length, MT_FILE_PUBLIC);
    mt_text_fini(&text);
    return status;
}

mt_status mt_progress_csv_resume(const char *path, mt_metric_set columns, int64_t resume_step, mt_progress_csv **out) {
    *out = NULL;
    if (!mt_file_exists(path)) return mt_progress_csv_create(path, columns, out);
    columns = (columns & MT_METRIC_ALL) | MT_METRIC_BIT(TOTAL_TIMESTEPS);
    mt_csv_table table;
    MT_TRY(mt_csv_table_read(path, &table));
    mt_status status = rewrite(path, &table, resume_step, &columns);
    mt_csv_table_fini(&table);
    MT_TRY(status);
    return progress_open(path, columns, MT_APPEND_CONTINUE, out);
}

mt_status mt_progress_csv_write(mt_progress_csv *csv, const mt_metrics_row *row) {
    mt_metric_set extra = mt_metrics_row_present(row) & ~csv->columns;
    for (int i = 0; i < MT_METRIC_COUNT; i++)
        if (has(extra, i))
            return MT_FAIL(INVALID_ARGUMENT, "%s has no column %s: name it when the file is opened", csv->file.path,
                mt_metric_get((mt_metric)i)->name);
    mt_text_clear(&csv->line);
    append_row(&csv->line, csv->columns, row);
    MT_TRY(mt_text_status(&csv->line));
    return mt_append_file_write(&csv->file, mt_text_str(&csv->line), csv->line.length);
}

mt_status mt_progress_csv_close(mt_progress_csv *csv) {
    if (!csv) return MT_OK;
    mt_status status = mt_append_file_close(&csv->file);
    mt_text_fini(&csv->line);
    free(csv);
    return status;
}

// --- monitor.csv ---------------------------------------------------------------------------------------------------

enum { MONITOR_BUFFER_BYTES = 65536, MONITOR_ROW_BYTES = 128 };
static const char monitor_header[] = "r,l,t\n";

struct mt_monitor_csv {
    mt_append_file file;
    uint64_t lost, buffered_rows;
    size_t used;
    char buffer[MONITOR_BUFFER_BYTES];
};

static void append_json_string(mt_text *text, const char *string) {
    mt_text_append(text, "\"");
    for (; *string; string++) {
        unsigned char c = (unsigned char)*string;
        if (c == '"' || c == '\\') mt_text_printf(text, "\\%c", c);
        else if (c < 0x20) mt_text_printf(text, "\\u%04x", c);
        else mt_text_append_bytes(text, string, 1);
    }
    mt_text_append(text, "\"");
}

static mt_status monitor_open(const char *path, mt_append_mode mode, mt_monitor_csv **out) {
    mt_monitor_csv *csv = calloc(1, sizeof *csv);
    if (!csv) return MT_FAIL(NO_MEMORY, "out of memory for %s", path);
    mt_status status = mt_append_file_open(&csv->file, path, mode);
    if (status != MT_OK) {
        free(csv);
        return status;
    }
    *out = csv;
    return MT_OK;
}

mt_status mt_monitor_csv_create(const char *path, const char *env_id, double start_unix, mt_monitor_csv **out) {
    *out = NULL;
    mt_monitor_csv *csv = NULL;
    MT_TRY(monitor_open(path, MT_APPEND_CREATE, &csv));
    mt_text head = {0};
    mt_text_printf(&head, "#{\"t_start\": %.6f, \"env_id\": ", start_unix);
    append_json_string(&head, env_id);
    mt_text_printf(&head, "}\n%s", monitor_header);
    mt_status status = mt_text_status(&head);
    if (status == MT_OK) status = mt_append_file_write(&csv->file, mt_text_str(&head), head.length);
    mt_text_fini(&head);
    if (status != MT_OK) {
        unlink(path);
        mt_monitor_csv_close(csv);
        return status;
    }
    *out = csv;
    return MT_OK;
}

// Bytes of the first two lines and `rows` rows after them. Streams: millions of episodes make a large file.
static mt_status measure(int fd, const char *path, uint64_t rows, uint64_t *bytes) {
    char block[MONITOR_BUFFER_BYTES];
    uint64_t offset = 0, lines = 0;
    *bytes = 0;
    for (;;) {
        ssize_t got = read(fd, block, sizeof block);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return mt_file_fail(errno, "read", path);
        if (got == 0) break;
        if (offset == 0 && block[0] != '#') break;   // lines stays 0
        for (ssize_t i = 0; i < got && lines < rows + 2; i++) {
            if (block[i] != '\n') continue;
            lines++;
            *bytes = offset + (uint64_t)i + 1;
        }
        offset += (uint64_t)got;
        if (lines == rows + 2) break;
    }
    if (lines < 2)
        return MT_FAIL(CORRUPT,
            "%s:%llu: not an episode monitor (it begins with a # line and r,l,t); move it away to go on", path,
            (unsigned long long)lines + 1);
    return MT_OK;
}

mt_status mt_monitor_csv_resume(
    const char *path, const char *env_id, double start_unix, uint64_t keep_episodes, mt_monitor_csv **out) {
    *out = NULL;
    if (!mt_file_exists(path)) return mt_monitor_csv_create(path, env_id, start_unix, out);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return mt_file_fail(errno, "open", path);
    uint64_t bytes;
    // cutting in place is safe: whole rows stay before the cut, and cutting twice is cutting once
    mt_status status = measure(fd, path, keep_episodes, &bytes);
    if (status == MT_OK && ftruncate(fd, (off_t)bytes) != 0) status = mt_file_fail(errno, "cut", path);
    close(fd);
    MT_TRY(status);
    return monitor_open(path, MT_APPEND_CONTINUE, out);
}

mt_status mt_monitor_csv_flush(mt_monitor_csv *csv) {
    mt_status status = mt_append_file_write(&csv->file, csv->buffer, csv->used);
    // dropped and counted, not kept: memory stays bounded, and training must not wait for a disk
    if (status != MT_OK) csv->lost += csv->buffered_rows;
    csv->used = 0;
    csv->buffered_rows = 0;
    return status;
}

mt_status mt_monitor_csv_write(mt_monitor_csv *csv, double reward, uint64_t length_steps, double seconds) {
    char number[MT_F64_TEXT_BYTES];
    const char *reward_text = isnan(reward)   ? "nan"
                              : isinf(reward) ? (reward > 0 ? "inf" : "-inf")
                                              : mt_format_f64(reward, number, sizeof number);
    mt_status status = MT_OK;
    if (csv->used + MONITOR_ROW_BYTES > sizeof csv->buffer) status = mt_monitor_csv_flush(csv);
    int length = snprintf(csv->buffer + csv->used, MONITOR_ROW_BYTES, "%s,%llu,%.6f\n", reward_text,
        (unsigned long long)length_steps, fabs(seconds) < 1e15 ? seconds : 0.0);
    csv->used += (size_t)length;
    csv->buffered_rows++;
    return status;
}

uint64_t mt_monitor_csv_lost(const mt_monitor_csv *csv) { return csv->lost; }

mt_status mt_monitor_csv_close(mt_monitor_csv *csv) {
    if (!csv) return MT_OK;
    mt_status status = mt_monitor_csv_flush(csv);
    MT_KEEP(status, mt_append_file_close(&csv->file));
    free(csv);
    return status;
}
