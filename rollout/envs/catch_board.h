// The board of Catch as bsuite has it (Osband et al. 2020): a ball falls one cell a step, a paddle on the bottom row moves left,
// stays or moves right, and the episode ends when the ball arrives there. What Catch and CatchOrDodge share.
//
// The picture is (height, width, 1) bytes, 255 where the ball and the paddle are and 0 elsewhere. A cell is stretched over the
// pixels it covers, so that any size from one pixel a cell shows the same game.
#ifndef MANTA_ROLLOUT_ENVS_CATCH_BOARD_H
#define MANTA_ROLLOUT_ENVS_CATCH_BOARD_H

#include "rollout/envs/canvas.h"
#include "rollout/envs/puzzle.h"

enum { BALL_X, BALL_Y, PADDLE_X, CATCH_STATE };               // state
enum { CATCH_ROWS, CATCH_COLUMNS, CATCH_HEIGHT, CATCH_WIDTH };   // options

#define CATCH_OPTIONS                                                                                                  \
    PUZZLE_OPTIONS({"rows", "10", "of the board; an episode has one step fewer"},                                      \
        {"columns", "5", "of the board; fewer than twice the rows, or the paddle comes too late"},                   \
        {"height", "0", "of the picture in pixels; 0 = one a row. Convolutional policies want 36 at least"},           \
        {"width", "0", "of the picture in pixels; 0 = one a column"})
#define CATCH_OPTION_RANGES {{2, 512, 1}, {1, 512, 1}, {0, 512, 1}, {0, 512, 1}}

static inline int32_t catch_rows(const manta_env *env) { return (int32_t)env->option[CATCH_ROWS]; }
static inline int32_t catch_columns(const manta_env *env) { return (int32_t)env->option[CATCH_COLUMNS]; }

// Checks the options together; a size of 0 becomes the board's.
static inline int catch_set_up(manta_env *env, char *error) {
    static const char *const names[] = {"rows", "columns", "height", "width"};
    int most = 2 * catch_rows(env) - 1;   // from the middle to either side in the steps that a ball takes
    if (catch_columns(env) > most)
        return puzzle_fail(error, "option columns: %d columns of %d rows; the paddle cannot reach every ball, take at most %d",
            catch_columns(env), catch_rows(env), most);
    for (int d = 0; d < 2; d++) {
        double cells = env->option[CATCH_ROWS + d], *pixels = &env->option[CATCH_HEIGHT + d];
        if (*pixels == 0) *pixels = cells;
        if (*pixels < cells)
            return puzzle_fail(error, "option %s: %g pixels for %g %s; each needs one", names[CATCH_HEIGHT + d], *pixels, cells, names[d]);
    }
    env->actions = 3;
    return 0;
}

// space[slot]: the picture
static inline int catch_image(manta_env *env, int slot, const char *name, char *error) {
    const int64_t shape[3] = {(int64_t)env->option[CATCH_HEIGHT], (int64_t)env->option[CATCH_WIDTH], 1};
    return puzzle_box(env, slot, name, MANTA_U8, 3, shape, 0, 255, error);
}

static inline size_t catch_image_bytes(const manta_env *env) { return (size_t)env->option[CATCH_HEIGHT] * (size_t)env->option[CATCH_WIDTH]; }

static inline int32_t catch_values(const manta_env *env, uint32_t k) { return k == BALL_Y ? catch_rows(env) - 1 : catch_columns(env); }

static inline void catch_begin(const manta_env *env, int32_t *state, const uint32_t word[4]) {
    state[BALL_X] = puzzle_below(word[0], catch_columns(env));
    state[BALL_Y] = 0;
    state[PADDLE_X] = catch_columns(env) / 2;
}

// 1 when the ball arrived
PUZZLE_INLINE int catch_move(const manta_env *env, int32_t *state, int32_t action) {
    int32_t x = state[PADDLE_X] + action - 1, last = catch_columns(env) - 1;
    state[PADDLE_X] = x < 0 ? 0 : x > last ? last : x;
    return ++state[BALL_Y] == catch_rows(env) - 1;
}

PUZZLE_INLINE void catch_fill_cell(const manta_env *env, uint8_t *picture, uint32_t y, uint32_t x) {
    uint32_t height = (uint32_t)env->option[CATCH_HEIGHT], width = (uint32_t)env->option[CATCH_WIDTH];
    uint32_t rows = (uint32_t)catch_rows(env), columns = (uint32_t)catch_columns(env);
    uint32_t left = x * width / columns, right = (x + 1) * width / columns, end = (y + 1) * height / rows;
    for (uint32_t r = y * height / rows; r < end; r++) memset(picture + (size_t)r * width + left, 255, right - left);
}

PUZZLE_INLINE void catch_picture(const manta_env *env, const int32_t *state, uint8_t *out) {
    memset(out, 0, catch_image_bytes(env));
    catch_fill_cell(env, out, (uint32_t)state[BALL_Y], (uint32_t)state[BALL_X]);
    catch_fill_cell(env, out, (uint32_t)catch_rows(env) - 1, (uint32_t)state[PADDLE_X]);
}

static inline void catch_draw(const manta_env *env, uint32_t row, mt_canvas *canvas, const char *title) {
    const int32_t *state = puzzle_state(env, row);
    int rows = catch_rows(env), columns = catch_columns(env);
    double x = state[BALL_X] + 0.5, y = rows - 0.5 - state[BALL_Y];
    mt_canvas_world(canvas, 0, columns, 0, rows * 1.08);
    mt_canvas_line(canvas, 0, 0, 0, rows);
    mt_canvas_line(canvas, columns, 0, columns, rows);
    mt_canvas_circle(canvas, x, y, 0.4);
    for (double h = 0.2; h <= 0.8; h += 0.2) mt_canvas_line(canvas, state[PADDLE_X], h, state[PADDLE_X] + 1, h);
    mt_canvas_print(canvas, 0, 0, "%s  ball %d,%d  paddle %d", title, state[BALL_X], state[BALL_Y], state[PADDLE_X]);
}

#endif
