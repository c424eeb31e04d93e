// The CSV reader: what it accepts, and that everything else is a typed error with file and line.
#include <math.h>
#include "scheduler/report/csv_table.h"
#include "test_report_common.h"

static mt_status parse(const char *text, mt_csv_table *table) {
    return mt_csv_table_parse("t.csv", text, strlen(text), table);
}

Test(report_table, plain) {
    mt_csv_table t;
    CHECK_OK(parse("a,b\n1,2\n-3.5,1e5\n", &t));
    cr_assert_eq(t.column_count, 2);
    cr_assert_eq(t.row_count, 2);
    cr_assert_eq(t.values[2], -3.5);
    cr_assert_eq(t.values[3], 1e5);
    cr_assert_eq(t.lines[1], 3);
    cr_assert_eq(mt_csv_table_column(&t, "b"), 1);
    cr_assert_eq(mt_csv_table_column(&t, "c"), -1);
    mt_csv_table_fini(&t);
}

Test(report_table, what_other_writers_write) {
    mt_csv_table t;
    CHECK_OK(parse("\xef\xbb\xbf#{\"t\": 1}\r\n\"a\",\"b\"\"c,\"\r\n\r\n,NaN\r\n\"7\",-inf\r\n", &t));
    cr_assert_eq(t.column_count, 2);
    cr_assert_str_eq(t.names[1], "b\"c,");
    cr_assert_eq(t.row_count, 2);
    cr_assert(isnan(t.values[0]) && isnan(t.values[1]));
    cr_assert_eq(t.values[2], 7);
    cr_assert_eq(t.values[3], -INFINITY);
    cr_assert_eq(t.lines[1], 5);
    mt_csv_table_fini(&t);
}

Test(report_table, a_torn_last_line_is_dropped) {
    mt_csv_table t;
    CHECK_OK(parse("a,b\n1,2\n3,4", &t));
    cr_assert_eq(t.row_count, 1);
    cr_assert_eq(t.torn, 1);
    mt_csv_table_fini(&t);
    CHECK_OK(parse("a,b\n", &t));
    cr_assert_eq(t.row_count + (size_t)t.torn, 0);
    mt_csv_table_fini(&t);
}

Test(report_table, many_rows) {
    enum { ROWS = 5000 };
    char *text = malloc(ROWS * 32 + 16), *end = text + sprintf(text, "x,y\n");
    for (int i = 0; i < ROWS; i++) end += sprintf(end, "%d,%d\n", i, -i);
    mt_csv_table t;
    CHECK_OK(parse(text, &t));
    cr_assert_eq(t.row_count, ROWS);
    cr_assert_eq(t.values[2 * (ROWS - 1) + 1], 1 - ROWS);
    mt_csv_table_fini(&t);
    free(text);
}

Test(report_table, garbage) {
    static const struct {
        const char *text, *word;
    } cases[] = {
        {"", "no header"},
        {"#only\n", "no header"},
        {"a,b", "no header"},
        {"a,,b\n", "t.csv:1: column 2"},
        {"a,b,a\n", "two columns"},
        {"\xff\xfe\n1\n", "t.csv:1"},
        {"a,b\n1,2\n1,2,3\n", "t.csv:3: 3 cells where the header has 2"},
        {"a,b\n1\n", "t.csv:2: 1 cells"},
        {"a,b\n1,0x10\n", "t.csv:2: column 2 (b): \"0x10\" is not a number"},
        {"a\n1e999\n", "not a number"},
        {"a\n 1\n", "not a number"},
        {"a\n\"1\n", "quotation marks"},
        {"a\n\"1\"\"\n", "quotation marks"},
        {"a\n\"1\"2\n", "quotation marks"},
        {"\"\n\"\n", "quotation marks"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mt_csv_table t;
        CHECK_FAIL(CORRUPT, cases[i].word, parse(cases[i].text, &t));
        cr_assert(!t.names && !t.values && !t.names_block);
    }
}

Test(report_table, zero_bytes_and_too_many_columns) {
    mt_csv_table t;
    CHECK_FAIL(CORRUPT, "zero byte at 2", mt_csv_table_parse("t.csv", "a\n\0\n", 4, &t));
    char wide[3 * MT_CSV_COLUMNS_MAX + 8];
    memset(wide, ',', sizeof wide);
    strcpy(wide + sizeof wide - 2, "\n");
    CHECK_FAIL(CORRUPT, "columns", parse(wide, &t));
}

// every cut and every single-byte change of a good file ends in a table or a typed error (the sanitizers watch)
Test(report_table, mutations) {
    static const char good[] = "#{\"x\": 1}\n\"a\",b,c\n1,\"2\",-3e5\n,nan,inf\n";
    static const unsigned char bytes[] = {0, '\n', '"', ',', '#', 0xff, '-', 'e', '9', ' '};
    for (size_t i = 0; i < sizeof good - 1; i++) {
        mt_csv_table t;
        mt_csv_table_parse("t.csv", good, i, &t);
        mt_csv_table_fini(&t);
        for (size_t b = 0; b < sizeof bytes; b++) {
            char text[sizeof good];
            memcpy(text, good, sizeof good);
            text[i] = (char)bytes[b];
            mt_status status = mt_csv_table_parse("t.csv", text, sizeof good - 1, &t);
            cr_assert(status == MT_OK || status == MT_CORRUPT);
            mt_csv_table_fini(&t);
        }
    }
}

Test(report_table, files) {
    mt_csv_table t;
    CHECK_FAIL(NOT_FOUND, "/nowhere/p.csv", mt_csv_table_read("/nowhere/p.csv", &t));
    cr_assert_neq(mt_csv_table_read("/tmp", &t), MT_OK);
}
