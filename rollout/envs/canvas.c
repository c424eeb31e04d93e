// Braille canvas, see canvas.h. Pure; any thread.
#include "rollout/envs/canvas.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { DOTS_WIDE = 2 * MT_CANVAS_COLUMNS, DOTS_HIGH = 4 * MT_CANVAS_ROWS };

void mt_canvas_init(mt_canvas *canvas) {
    memset(canvas, 0, sizeof *canvas);
    canvas->scale = 1;
}

void mt_canvas_world(mt_canvas *canvas, double left, double right, double bottom, double top) {
    double across = (DOTS_WIDE - 1) / (right - left), up = (DOTS_HIGH - 1) / (top - bottom);
    canvas->scale = across < up ? across : up;
    canvas->left = (left + right - (DOTS_WIDE - 1) / canvas->scale) / 2;
    canvas->bottom = (bottom + top - (DOTS_HIGH - 1) / canvas->scale) / 2;
}

void mt_canvas_dot(mt_canvas *canvas, double x, double y) {
    // bit of the code point for (column of 2, row of 4 from the top), as Unicode numbers Braille dots
    static const uint8_t bit[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    double across = round((x - canvas->left) * canvas->scale), up = round((y - canvas->bottom) * canvas->scale);
    if (!(across >= 0 && across < DOTS_WIDE && up >= 0 && up < DOTS_HIGH)) return;   // also NaN
    int column = (int)across, row = DOTS_HIGH - 1 - (int)up;
    canvas->dots[row / 4][column / 2] |= bit[row % 4][column % 2];
}

void mt_canvas_line(mt_canvas *canvas, double x0, double y0, double x1, double y1) {
    double length = fmax(fabs(x1 - x0), fabs(y1 - y0)) * canvas->scale;
    if (!(length < 4 * DOTS_WIDE)) return;   // far outside, or NaN
    int steps = (int)ceil(length) + 1;
    for (int i = 0; i <= steps; i++) {
        double t = (double)i / steps;
        mt_canvas_dot(canvas, x0 + t * (x1 - x0), y0 + t * (y1 - y0));
    }
}

void mt_canvas_circle(mt_canvas *canvas, double x, double y, double radius) {
    for (int i = 0; i < 64; i++) {
        double angle = i * (2 * 3.14159265358979323846 / 64);
        mt_canvas_dot(canvas, x + radius * cos(angle), y + radius * sin(angle));
    }
}

void mt_canvas_print(mt_canvas *canvas, int row, int column, const char *format, ...) {
    char text[MT_CANVAS_COLUMNS + 1];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (row < 0 || row >= MT_CANVAS_ROWS || column < 0) return;
    for (int i = 0; text[i] && column + i < MT_CANVAS_COLUMNS; i++) canvas->words[row][column + i] = text[i];
}

static size_t cell_text(const mt_canvas *canvas, int row, int column, char out[3]) {
    uint8_t dots = canvas->dots[row][column];
    char word = canvas->words[row][column];
    if (word || !dots) {
        out[0] = word ? word : ' ';
        return 1;
    }
    out[0] = (char)0xe2;   // U+2800 + dots
    out[1] = (char)(0xa0 | dots >> 6);
    out[2] = (char)(0x80 | (dots & 0x3f));
    return 3;
}

size_t mt_canvas_text(const mt_canvas *canvas, char *out, size_t bytes) {
    size_t used = 0;
    if (bytes == 0) return 0;
    for (int row = 0; row < MT_CANVAS_ROWS; row++) {
        int width = MT_CANVAS_COLUMNS;   // without the blanks at the end of the line
        while (width && !canvas->dots[row][width - 1] && !canvas->words[row][width - 1]) width--;
        for (int column = 0; column <= width; column++) {
            char cell[3] = "\n";
            size_t length = column < width ? cell_text(canvas, row, column, cell) : 1;
            if (used + length >= bytes) goto full;
            memcpy(out + used, cell, length);
            used += length;
        }
    }
full:
    out[used] = 0;
    return used;
}
