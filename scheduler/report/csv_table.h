// A CSV file of numbers, read whole: progress.csv of manta and of Stable-Baselines3, monitor.csv, bench tables.
//
// Grammar: optional first lines beginning with '#', a header line of names, rows of numbers; an empty cell is NaN;
// cells may be quoted; LF or CRLF; blank lines are skipped. A last line without its newline is what a killed writer
// leaves: it is dropped, and `torn` says so. Anything else that is not a number, and a row of the wrong width, is
// MT_CORRUPT with file:line and column.
#ifndef MANTA_SCHEDULER_REPORT_CSV_TABLE_H
#define MANTA_SCHEDULER_REPORT_CSV_TABLE_H

#include <stddef.h>
#include "engine/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MT_CSV_COLUMNS_MAX = 1024 };

typedef struct mt_csv_table {
    char *names_block;     // owned
    char **names;          // owned array of views; column_count
    double *values;        // owned (row_count, column_count)
    size_t *lines;         // owned (row_count) line number in the file, from 1
    size_t column_count, row_count;
    int torn;              // 1: a last line without newline was dropped
} mt_csv_table;

// MT_NOT_FOUND, MT_IO, MT_CORRUPT, MT_NO_MEMORY. On failure *out is empty.
mt_status mt_csv_table_read(const char *path, mt_csv_table *out);

// The same from memory; `name` stands in messages for the path.
mt_status mt_csv_table_parse(const char *name, const char *text, size_t bytes, mt_csv_table *out);

// Column index of `name`, or -1.
int mt_csv_table_column(const mt_csv_table *table, const char *name);
void mt_csv_table_fini(mt_csv_table *table);

#ifdef __cplusplus
}
#endif
#endif
