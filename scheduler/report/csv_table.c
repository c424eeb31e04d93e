// A CSV file of numbers, read whole. Works in place on one copy of the text: cells are cut by NULs, names stay as
// views. Text from outside: every byte is checked before use, nothing here trusts the file.
#include "scheduler/report/csv_table.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "engine/base/file.h"
#include "engine/base/text.h"

static const size_t FILE_BYTES_MAX = (size_t)1 << 30;

typedef struct parser {
    const char *name;   // of the file, for messages
    char *next, *end;   // what is left of the text
    size_t line;        // number of the line last taken, from 1
    size_t row_capacity;
} parser;

// The next line that ends in a newline, cut by a NUL, without its CR; NULL at the end of the text.
static char *take_line(parser *p) {
    char *newline = p->next < p->end ? memchr(p->next, '\n', (size_t)(p->end - p->next)) : NULL;
    if (!newline) return NULL;
    char *line = p->next;
    *newline = '\0';
    if (newline > line && newline[-1] == '\r') newline[-1] = '\0';
    p->next = newline + 1;
    p->line++;
    return line;
}

// The next cell of *rest, unquoted in place; *rest is NULL after the last one. NULL: a quote that does not close.
static char *take_cell(char **rest) {
    char *cell = *rest;
    if (*cell != '"') {
        char *comma = strchr(cell, ',');
        if (comma) *comma = '\0';
        *rest = comma ? comma + 1 : NULL;
        return cell;
    }
    char *to = cell, *from = cell + 1;
    int closed = 0;
    for (; *from; *to++ = *from++) {
        if (*from == '"' && *++from != '"') {   // "" inside quotes is a quote
            closed = 1;
            break;
        }
    }
    if (!closed || (*from != ',' && *from != '\0')) return NULL;
    *rest = *from == ',' ? from + 1 : NULL;
    *to = '\0';
    return cell;
}

static mt_status bad_quotes(const parser *p) {
    return MT_FAIL(CORRUPT, "%s:%zu: quotation marks that do not match", p->name, p->line);
}

static mt_status parse_header(parser *p, char *line, mt_csv_table *table) {
    size_t commas = 0;
    for (const char *c = line; *c; c++) commas += *c == ',';
    if (commas >= MT_CSV_COLUMNS_MAX)
        return MT_FAIL(CORRUPT, "%s:%zu: more than %d columns", p->name, p->line, MT_CSV_COLUMNS_MAX);
    table->names = calloc(commas + 1, sizeof *table->names);
    if (!table->names) return MT_FAIL(NO_MEMORY, "out of memory for the columns of %s", p->name);

    for (char *rest = line; rest;) {
        char *cell = take_cell(&rest);
        if (!cell) return bad_quotes(p);
        if (*cell == '\0' || !mt_text_is_utf8(cell))
            return MT_FAIL(CORRUPT, "%s:%zu: column %zu has no readable name; is this a CSV file with a header?",
                p->name, p->line, table->column_count + 1);
        if (mt_csv_table_column(table, cell) >= 0)
            return MT_FAIL(CORRUPT, "%s:%zu: two columns are named \"%s\"", p->name, p->line, cell);
        table->names[table->column_count++] = cell;
    }
    return MT_OK;
}

static int parse_number(const char *cell, double *out) {
    static const struct {
        const char *text;
        double value;
    } words[] = {{"", NAN}, {"nan", NAN}, {"inf", INFINITY}, {"-inf", -INFINITY}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!mt_text_equal_fold(cell, words[i].text)) continue;
        *out = words[i].value;
        return 1;
    }
    return mt_parse_f64(cell, out) == MT_OK;
}

static mt_status grow(parser *p, mt_csv_table *table) {
    if (table->row_count < p->row_capacity) return MT_OK;
    size_t capacity = p->row_capacity ? 2 * p->row_capacity : 64;
    double *values = realloc(table->values, capacity * table->column_count * sizeof *values);
    if (values) table->values = values;
    size_t *lines = values ? realloc(table->lines, capacity * sizeof *lines) : NULL;
    if (!lines) return MT_FAIL(NO_MEMORY, "out of memory for %zu rows of %s", capacity, p->name);
    table->lines = lines;
    p->row_capacity = capacity;
    return MT_OK;
}

static mt_status parse_row(parser *p, char *line, mt_csv_table *table) {
    MT_TRY(grow(p, table));
    double *row = table->values + table->row_count * table->column_count;
    size_t column = 0;
    for (char *rest = line; rest; column++) {
        char *cell = take_cell(&rest);
        if (!cell) return bad_quotes(p);
        if (column < table->column_count && !parse_number(cell, &row[column]))
            return MT_FAIL(CORRUPT, "%s:%zu: column %zu (%.64s): \"%.40s\" is not a number", p->name, p->line,
                column + 1, table->names[column], cell);
    }
    if (column != table->column_count)
        return MT_FAIL(
            CORRUPT, "%s:%zu: %zu cells where the header has %zu", p->name, p->line, column, table->column_count);
    table->lines[table->row_count++] = p->line;
    return MT_OK;
}

static mt_status parse_lines(parser *p, mt_csv_table *table) {
    char *line;
    while ((line = take_line(p))) {
        if (*line == '\0' || (*line == '#' && !table->names)) continue;
        MT_TRY(table->names ? parse_row(p, line, table) : parse_header(p, line, table));
    }
    table->torn = p->next < p->end;
    if (!table->names) return MT_FAIL(CORRUPT, "%s: no header line; the file is empty or was cut off", p->name);
    return MT_OK;
}

mt_status mt_csv_table_parse(const char *name, const char *text, size_t bytes, mt_csv_table *out) {
    *out = (mt_csv_table){0};
    const char *nul = bytes ? memchr(text, '\0', bytes) : NULL;
    if (nul) return MT_FAIL(CORRUPT, "%s: not a text file (a zero byte at %zu)", name, (size_t)(nul - text));
    if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) text += 3, bytes -= 3;   // what spreadsheets put in front

    mt_csv_table table = {.names_block = malloc(bytes + 1)};
    if (!table.names_block) return MT_FAIL(NO_MEMORY, "out of memory for %zu bytes of %s", bytes, name);
    memcpy(table.names_block, text, bytes);
    table.names_block[bytes] = '\0';
    parser p = {.name = name, .next = table.names_block, .end = table.names_block + bytes};
    mt_status status = parse_lines(&p, &table);
    if (status != MT_OK) {
        mt_csv_table_fini(&table);
        return status;
    }
    *out = table;
    return MT_OK;
}

mt_status mt_csv_table_read(const char *path, mt_csv_table *out) {
    *out = (mt_csv_table){0};
    char *text;
    size_t bytes;
    MT_TRY(mt_file_read(path, FILE_BYTES_MAX, &text, &bytes));
    mt_status status = mt_csv_table_parse(path, text, bytes, out);
    free(text);
    return status;
}

int mt_csv_table_column(const mt_csv_table *table, const char *name) {
    for (size_t i = 0; i < table->column_count; i++)
        if (strcmp(table->names[i], name) == 0) return (int)i;
    return -1;
}

void mt_csv_table_fini(mt_csv_table *table) {
    free(table->names_block);
    free(table->names);
    free(table->values);
    free(table->lines);
    *table = (mt_csv_table){0};
}
