// A picture in text for the terminal: lines of dots in Unicode Braille patterns (2×4 dots a character) and words on top.
// World coordinates: set by mt_canvas_world, y upwards.
#ifndef MANTA_ROLLOUT_ENVS_CANVAS_H
#define MANTA_ROLLOUT_ENVS_CANVAS_H

#include <stddef.h>
#include <stdint.h>

enum { MT_CANVAS_COLUMNS = 60, MT_CANVAS_ROWS = 15 };

typedef struct mt_canvas {
    uint8_t dots[MT_CANVAS_ROWS][MT_CANVAS_COLUMNS];   // low byte of the Braille code point
    char words[MT_CANVAS_ROWS][MT_CANVAS_COLUMNS];     // ASCII, 0 = none; in front of the dots
    double left, bottom, scale;                        // world → dots: (x - left)·scale, (y - bottom)·scale
} mt_canvas;

void mt_canvas_init(mt_canvas *canvas);
// The world's rectangle is fitted into the canvas, centred, with equal scales.
void mt_canvas_world(mt_canvas *canvas, double left, double right, double bottom, double top);
void mt_canvas_dot(mt_canvas *canvas, double x, double y);
void mt_canvas_line(mt_canvas *canvas, double x0, double y0, double x1, double y1);
void mt_canvas_circle(mt_canvas *canvas, double x, double y, double radius);
// ASCII text from character cell (row, column); what does not fit is dropped.
void mt_canvas_print(mt_canvas *canvas, int row, int column, const char *format, ...) __attribute__((format(printf, 4, 5)));
// At most bytes-1 bytes of UTF-8 and a zero; whole characters only. Returns the length.
size_t mt_canvas_text(const mt_canvas *canvas, char *out, size_t bytes);

#endif
