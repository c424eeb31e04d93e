// The Braille canvas, and the pictures of all built-in environments.
#include "rollout/envs/canvas.h"

#include "engine/base/text.h"
#include "fixture.h"

Test(canvas, a_dot_is_one_braille_character) {
    mt_canvas canvas;
    char text[4096];
    mt_canvas_init(&canvas);
    mt_canvas_world(&canvas, 0, 119, 0, 59);   // one unit a dot
    mt_canvas_dot(&canvas, 0, 59);             // top left
    cr_expect(mt_canvas_text(&canvas, text, sizeof text) == 3 + MT_CANVAS_ROWS);
    cr_expect(strncmp(text, "\u2801\n", 4) == 0);
    mt_canvas_dot(&canvas, 1, 56);             // bottom right of the same character
    mt_canvas_text(&canvas, text, sizeof text);
    cr_expect(strncmp(text, "\u2881\n", 4) == 0);
}

Test(canvas, outside_and_nan_draw_nothing) {
    mt_canvas canvas;
    char text[4096];
    mt_canvas_init(&canvas);
    mt_canvas_world(&canvas, 0, 1, 0, 1);
    mt_canvas_dot(&canvas, 1e300, 0);
    mt_canvas_dot(&canvas, -100, 0);
    mt_canvas_line(&canvas, 0, 0, 0.0 / 0.0, 1);
    mt_canvas_line(&canvas, 0, 0, 1e30, 1);
    mt_canvas_print(&canvas, 99, 0, "nowhere");
    mt_canvas_print(&canvas, 0, 58, "cut");
    mt_canvas_text(&canvas, text, sizeof text);
    cr_expect_str_eq(text + strspn(text, " "), "cu\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n");
}

Test(canvas, every_environment_draws_valid_text_of_any_size) {
    for (int k = 0; k < BUILTINS; k++) {
        batch_env b;
        char text[8192];
        batch_open(&b, builtin(MT_ISA_plain_id, builtin_ids[k]), 2, 1, NULL);
        for (size_t bytes = 1; bytes < 4000; bytes += 13) {
            memset(text, '#', sizeof text);
            cr_assert(mt_env_render(b.env, 1, text, bytes) == MT_OK);
            if (!memchr(text, 0, bytes) || text[bytes] != '#' || !mt_text_is_utf8(text)) cr_assert_fail("%s in %zu bytes", builtin_ids[k], bytes);
        }
        cr_assert(mt_env_render(b.env, 1, text, sizeof text) == MT_OK);
        cr_expect(strlen(text) > 200);
        cr_expect(mt_env_render(b.env, 2, text, sizeof text) == MT_INVALID_ARGUMENT);
        batch_close(&b);
    }
}
