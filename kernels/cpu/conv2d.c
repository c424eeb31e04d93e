// Convolution of channels-last images, forward and backward, straight from the image: no patches are laid out.
//   forward    y = act(b + Σ_kh x row · weight_t rows)                2·B·H'·W'·k·k·C·O flop
//   backward   dw (+)= Σ_pixels x ⊗ dz,  db (+)= Σ dz,  dx = act'(x) ∘ Σ_taps dz · weight_rows        twice as many
// A kernel's row reads k·C contiguous values of the image, so that a run of pixels is a product whose A is the image itself, read
// at the pixels' distance, in one part for each row of the kernel (tile.h). Where padding hides taps, the image is cut into
// rectangles whose pixels use the same ones (conv2d_span.h): what lies outside is never read and costs nothing.
// dx is gathered, not scattered: a pixel's taps are one sum, of a part for each of their rows. dw is summed as (k, k, C, O), then
// turned.
// Packed parameters: weight_t (k, k, C, O), weight_rows (k, k, O, C) with the columns of taps in the order of tap_place.
// Determinism: a pixel of y or dx is one chain of FMAs in a fixed order of taps, whatever the tile it lies in.
// Bytes moved: x, y and the weights once each where they fit L2; images are taken in blocks that do.
#include "kernels/cpu/conv2d_span.h"
#include "kernels/cpu/ops.h"

enum { PARTS = 64, BLOCK_FLOATS = 64 * 1024, HEIGHT = 6 };   // HEIGHT: of a whole tile

static int64_t taps(const mt_conv2d *c) { return (int64_t)c->kernel * c->kernel; }
static int64_t patch_floats(const mt_conv2d *c) { return taps(c) * c->in; }
static int64_t image_floats(const mt_conv2d *c) { return (int64_t)c->height * c->width * c->in; }
static int64_t output_floats(const mt_conv2d *c) { return (int64_t)mt_conv2d_out_height(c) * mt_conv2d_out_width(c) * c->out; }

// images whose x and y stay in L2 together, with the next block's
static int64_t images_of_block(const mt_conv2d *c) {
    int64_t images = BLOCK_FLOATS / (image_floats(c) + output_floats(c));
    return images < 1 ? 1 : images > HEIGHT ? images / HEIGHT * HEIGHT : images;
}

int64_t MT_ISA_NAME(mt_conv2d_scratch)(const mt_conv2d *c) { return patch_floats(c) * c->out; }

// Where backward's packed parameters have tap kw of a kernel row: the taps that a pixel of x meets, `stride` apart, stand together,
// last one first, for in that order the pixels of dz that they go with lie one after the other.
static int64_t tap_place(const mt_conv2d *c, int kw) {
    const int k = c->kernel, s = c->stride, phase = kw % s;
    int64_t before = 0;
    for (int p = 0; p < phase; p++) before += (k - p + s - 1) / s;
    return before + (k - phase + s - 1) / s - 1 - kw / s;
}

void MT_ISA_NAME(mt_conv2d_pack)(const mt_conv2d *c, const float *weight, float *weight_t, float *weight_rows) {
    const int64_t n = taps(c), in = c->in, out = c->out, size = in * out;
    for (int64_t i = 0; i < in; i++) transpose(out, n, weight + i * n, in * n, weight_t + i * out, size, 0);
    for (int kh = 0; kh < c->kernel; kh++)
        for (int kw = 0; kw < c->kernel; kw++) {
            const int64_t row = (int64_t)kh * c->kernel;
            transpose(in, out, weight_t + (row + kw) * size, out, weight_rows + (row + tap_place(c, kw)) * size, in, 0);
        }
}

// ---- the parts of a sum (tile.h), rows × columns of them, PARTS at a time

typedef struct grid {
    int64_t rows, columns;
    tile_part row, column;       // how far neighbours are apart
    const tile_part *part;       // the first PARTS
} grid;

static int grid_parts(const grid *g, int64_t from, tile_part *part) {
    int64_t count = g->rows * g->columns - from < PARTS ? g->rows * g->columns - from : PARTS;
    int64_t i = g->columns ? from / g->columns : 0, j = g->columns ? from % g->columns : 0;
    for (int64_t n = 0; n < count; n++) {
        part[n] = (tile_part){i * g->row.a + j * g->column.a, i * g->row.b + j * g->column.b};
        if (++j == g->columns) j = 0, i++;
    }
    return (int)count;
}

// C = init + the sum of all parts
static void grid_sum(const product *all, const strip_copies *copies, const grid *g) {
    product p = *all;
    tile_part more[PARTS];
    const int64_t count = g->rows * g->columns;
    int64_t from = 0;
    p.t.part = g->part;
    do {   // once for no parts too
        p.t.parts = (int)(count - from < PARTS ? count - from : PARTS);
        if (from) grid_parts(g, from, more), p.t.part = more;
        from += p.t.parts;
        p.t.after = from < count ? NULL : all->t.after;
        product_strip(&p, copies);
        p.t.init = p.t.c, p.t.init_row = p.t.c_row;
    } while (from < count);
}

// ---- what the next block of images will read and write, asked for while this one is worked on: the caches' own foresight ends
// with a page, and an image is many

typedef struct ahead {
    struct {
        const char *from;
        int64_t bytes, asked;
    } range[2];
    int64_t work, done;          // of this block
    tile_ahead tiles;            // what one strip's tiles ask for
} ahead;

static void ahead_range(ahead *a, int i, const float *from, int64_t floats) {
    a->range[i].from = (const char *)from;
    a->range[i].bytes = floats * 4;
}
// `work` is about to be done by `p`: has it ask for as much of the range that is furthest behind
static void ahead_with(ahead *a, product *p, const strip_copies *copies, const grid *g, int64_t work) {
    int64_t lag = 0;
    int at = 0;
    a->done += work;
    for (int i = 0; i < 2; i++) {
        int64_t behind = a->range[i].bytes * a->done / a->work - a->range[i].asked;
        if (behind > lag) lag = behind, at = i;
    }
    const int64_t places = product_strip_tiles(p) * copies->count * g->rows * g->columns;
    p->t.ahead = NULL;
    if (lag == 0 || places == 0) return;
    a->tiles = (tile_ahead){a->range[at].from + a->range[at].asked, (lag / AHEAD_BYTES + places - 1) / places, AHEAD_BYTES};
    a->range[at].asked += a->tiles.units * places * AHEAD_BYTES;
    p->t.ahead = &a->tiles;
}

// ---- a box of pixels (images × rows × columns) as strips along one of its sides

typedef struct side {
    int64_t count, a, c;         // pixels, and how far A's and C's are apart
} side;

// The side along which to make tiles: columns, the shortest way through memory, if that leaves tiles enough sums to be busy
// with, else the one that fills them best.
static int tile_side(const product *p, const side *box) {
    enum { ENOUGH = 16 };
    double most = 0;
    int best = 2;
    for (int i = 2; i >= 0 && !(i == 1 && most >= ENOUGH); i--) {
        double sums = product_sums(p, box[i].count);
        if (sums > most) most = sums, best = i;
    }
    return best;
}
// the other two
static void short_sides(int along, int *first, int *second) {
    *first = along == 0 ? 1 : 0;
    *second = along == 2 ? 1 : 2;
}

// C of every pixel of the box; box[0] images, box[1] rows, box[2] columns. A tile's place along the side is worked through for
// all of another side at once.
static void box_run(const product *origin, const side *box, const grid *g, ahead *next) {
    const int along = tile_side(origin, box);
    int first, second;
    short_sides(along, &first, &second);
    const strip_copies copies = {box[second].count, box[second].a, box[second].c};
    product p = *origin;
    p.m = box[along].count;
    p.t.a_row = box[along].a, p.t.c_row = box[along].c;
    for (int64_t i = 0; i < box[first].count; i++) {
        ahead_with(next, &p, &copies, g, p.m * copies.count);
        grid_sum(&p, &copies, g);
        p.t.a += box[first].a, p.t.c += box[first].c;
        if (p.t.after) p.t.y += box[first].c;
        if (p.t.pre) p.t.pre += box[first].c;
    }
}

// ---- forward

static void forward_box(const mt_conv2d_forward *a, int64_t image, int64_t images, const span *h, const span *w, ahead *next) {
    const mt_conv2d *c = &a->conv;
    const int64_t x_row = (int64_t)c->width * c->in, y_row = (int64_t)mt_conv2d_out_width(c) * c->out;
    const int64_t at = image * output_floats(c) + h->first * y_row + (int64_t)w->first * c->out;
    const epilogue e = {.act = a->activation};
    product p = {.n = c->out, .k = (int64_t)w->taps * c->in,
        .t = {.a = a->x + image * image_floats(c) + h->from * x_row + (int64_t)w->from * c->in, .a_step = 1,
            .b = a->weight_t + ((int64_t)h->tap * c->kernel + w->tap) * c->in * c->out, .b_step = c->out, .init = a->bias,
            .c = (a->pre ? a->pre : a->y) + at, .y = a->y + at,
            .after = a->pre || a->activation != MT_ACT_identity ? &e : NULL}};
    const side box[3] = {{images, image_floats(c), output_floats(c)}, {h->count, c->stride * x_row, y_row},
        {w->count, (int64_t)c->stride * c->in, c->out}};
    tile_part part[PARTS];
    const grid g = {.rows = h->taps, .columns = 1, .row = {x_row, (int64_t)c->kernel * c->in * c->out}, .part = part};
    grid_parts(&g, 0, part);
    box_run(&p, box, &g, next);
}

void MT_ISA_NAME(mt_conv2d_forward)(const mt_conv2d_forward *a) {
    const axis height = axis_height(&a->conv), width = axis_width(&a->conv);
    const int64_t block = images_of_block(&a->conv);
    for (int64_t image = 0, images; image < a->rows; image += images) {
        images = a->rows - image < block ? a->rows - image : block;
        ahead next = {.work = images * output_floats(&a->conv) / a->conv.out};
        const int64_t then = image + images, more = a->rows - then < block ? a->rows - then : block;
        ahead_range(&next, 0, a->x + then * image_floats(&a->conv), more * image_floats(&a->conv));
        ahead_range(&next, 1, (a->pre ? a->pre : a->y) + then * output_floats(&a->conv), more * output_floats(&a->conv));
        for (span h = {0}; output_span(&height, &h);)
            for (span w = {0}; output_span(&width, &w);) forward_box(a, image, images, &h, &w, &next);
    }
}

// ---- backward

// the weights' gradient of the taps [w->tap, + w->taps) of each of the rectangle's kernel rows, added to `turned` (k, k, C, O):
// a sum over the pixels along the longest side, one part for each of the others
static void weight_box(const mt_conv2d_backward *a, int64_t image, int64_t images, const span *h, const span *w, float *turned,
    ahead *next) {
    const mt_conv2d *c = &a->conv;
    const int64_t x_row = (int64_t)c->width * c->in, y_row = (int64_t)mt_conv2d_out_width(c) * c->out;
    const side box[3] = {{images, image_floats(c), output_floats(c)}, {h->count, c->stride * x_row, y_row},
        {w->count, (int64_t)c->stride * c->in, c->out}};
    const int along = box[2].count >= box[1].count && box[2].count > 1 ? 2 : box[1].count > 1 ? 1 : 0;   // the longer
    int first, second;
    short_sides(along, &first, &second);
    tile_part part[PARTS];
    const grid g = {.rows = box[first].count, .columns = box[second].count, .row = {box[first].a, box[first].c},
        .column = {box[second].a, box[second].c}, .part = part};
    grid_parts(&g, 0, part);
    const strip_copies kernel_rows = {h->taps, x_row, (int64_t)c->kernel * c->in * c->out};
    float *to = turned + ((int64_t)h->tap * c->kernel + w->tap) * c->in * c->out;
    product p = {.m = (int64_t)w->taps * c->in, .n = c->out, .k = box[along].count,
        .t = {.a = a->x + image * image_floats(c) + h->from * x_row + (int64_t)w->from * c->in, .a_row = 1, .a_step = box[along].a,
            .b = a->dz + image * output_floats(c) + h->first * y_row + (int64_t)w->first * c->out, .b_step = box[along].c,
            .init = to, .init_row = c->out, .c = to, .c_row = c->out}};
    ahead_with(next, &p, &kernel_rows, &g, images * h->count * w->count);
    grid_sum(&p, &kernel_rows, &g);
}

// the input's gradient of a rectangle of pixels `stride` apart: one part for each row of taps
static void input_box(const mt_conv2d_backward *a, int64_t image, int64_t images, const span *h, const span *w, ahead *next) {
    const mt_conv2d *c = &a->conv;
    const int64_t x_row = (int64_t)c->width * c->in, y_row = (int64_t)mt_conv2d_out_width(c) * c->out;
    const int64_t tap = (int64_t)c->out * c->in, at = image * image_floats(c) + h->first * x_row + (int64_t)w->first * c->in;
    const int last = w->taps ? w->taps - 1 : 0;   // the first in the order of tap_place
    const epilogue e = {.act = a->x_activation, .backward = 1};
    product p = {.n = c->in, .k = (int64_t)w->taps * c->out,
        .t = {.a = a->dz + image * output_floats(c) + h->from * y_row + (int64_t)(w->from - last) * c->out, .a_step = 1,
            .b = a->weight_rows + ((int64_t)h->tap * c->kernel + tap_place(c, w->tap + last * c->stride)) * tap, .b_step = c->in,
            .c = a->dx + at, .y = (float *)(uintptr_t)a->x + at,   // a backward epilogue only reads y
            .pre = a->x_pre ? a->x_pre + at : NULL, .after = a->x_activation != MT_ACT_identity ? &e : NULL}};
    const side box[3] = {{images, output_floats(c), image_floats(c)}, {h->count, y_row, c->stride * x_row},
        {w->count, c->out, (int64_t)c->stride * c->in}};
    tile_part part[PARTS];
    const grid g = {.rows = w->taps ? h->taps : 0, .columns = 1, .row = {-y_row, (int64_t)c->stride * c->kernel * tap},
        .part = part};
    grid_parts(&g, 0, part);
    box_run(&p, box, &g, next);
}

static void input_gradient(const mt_conv2d_backward *a, int64_t image, int64_t images, ahead *next) {
    const axis height = axis_height(&a->conv), width = axis_width(&a->conv);
    for (int i = 0; i < height.stride; i++)
        for (int j = 0; j < width.stride; j++)
            for (span h = {0}; input_span(&height, i, &h);)
                for (span w = {0}; input_span(&width, j, &w);) input_box(a, image, images, &h, &w, next);
}

static void weight_gradient(const mt_conv2d_backward *a, int64_t image, int64_t images, float *turned, ahead *next) {
    const axis height = axis_height(&a->conv), width = axis_width(&a->conv);
    for (span h = {0}; output_span(&height, &h);)
        for (span w = {0}; output_span(&width, &w);) weight_box(a, image, images, &h, &w, turned, next);
}

void MT_ISA_NAME(mt_conv2d_backward)(const mt_conv2d_backward *a) {
    const mt_conv2d *c = &a->conv;
    const int64_t block = images_of_block(c), n = taps(c), in = c->in, out = c->out, x = image_floats(c), y = output_floats(c);
    float *turned = a->scratch;   // (k, k, C, O)
    memset(turned, 0, sizeof(float) * (size_t)(patch_floats(c) * out));
    if (a->db && a->rows == 0) column_sums(0, c->out, a->dz, a->db, a->accumulate);
    for (int64_t image = 0, images; image < a->rows; image += images) {
        images = a->rows - image < block ? a->rows - image : block;
        const int64_t then = image + images, more = a->rows - then < block ? a->rows - then : block;
        ahead next = {.work = images * y / out}, rest = {.work = images * x / in};
        ahead_range(a->dx ? &rest : &next, 0, a->x + then * x, more * x);
        ahead_range(a->dx ? &rest : &next, 1, a->dz + then * y, more * y);
        if (a->dx) ahead_range(&next, 0, a->dx + image * x, images * x);
        weight_gradient(a, image, images, turned, &next);
        if (a->db) column_sums(images * y / out, c->out, a->dz + image * y, a->db, a->accumulate || image);
        if (a->dx) input_gradient(a, image, images, &rest);
    }
    for (int64_t i = 0; i < in; i++) transpose(n, out, turned + i * out, in * out, a->dw + i * n, in * n, a->accumulate);
}
