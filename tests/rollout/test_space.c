// Spaces: what is accepted, what is refused and why.
#include <math.h>
#include <stddef.h>

#include "fixture.h"
#include "rollout/space.h"

static manta_space box(int64_t n, const float *low, const float *high) {
    return (manta_space){.struct_size = sizeof(manta_space), .kind = MANTA_SPACE_BOX, .dtype = MANTA_F32, .ndim = 1, .shape = {n},
        .low = low, .high = high};
}

static void refuses(const manta_space *space, mt_status expected, const char *words) {
    mt_space out;
    mt_status status = mt_space_init(&out, space, "space");
    cr_expect(status == expected, "%s: got %s", words, mt_status_name(status));
    cr_expect(strstr(mt_last_error(), words), "'%s' is not in: %s", words, mt_last_error());
    cr_expect(out.count == 0 && !out.low);
}

Test(space, box_keeps_shape_and_bounds) {
    const float low[2] = {-1, -INFINITY}, high[2] = {1, 3};
    manta_space given = box(2, low, high);
    mt_space out;
    cr_assert(mt_space_init(&out, &given, "space") == MT_OK, "%s", mt_last_error());
    cr_expect(out.count == 2 && out.bytes == 8 && out.ndim == 1 && out.logits == 0 && !out.bounded);
    cr_expect(out.low[1] == -INFINITY && out.high[1] == 3);
    char text[64];
    mt_space_format(&out, text, sizeof text);
    cr_expect_str_eq(text, "Box(2) f32");
    mt_space_fini(&out);
    given = box(3, NULL, NULL);
    cr_assert(mt_space_init(&out, &given, "space") == MT_OK);
    cr_expect(out.low[2] == -INFINITY && out.high[2] == INFINITY);
    mt_space_fini(&out);
}

Test(space, discrete_kinds_count_their_logits) {
    const int64_t nvec[3] = {2, 5, 3};
    manta_space given = {.struct_size = sizeof given, .kind = MANTA_SPACE_MULTI_DISCRETE, .dtype = MANTA_I32, .ndim = 1, .shape = {3},
        .nvec = nvec};
    mt_space out;
    char text[64];
    cr_assert(mt_space_init(&out, &given, "space") == MT_OK, "%s", mt_last_error());
    cr_expect(out.count == 3 && out.logits == 10 && out.bytes == 12);
    mt_space_format(&out, text, sizeof text);
    cr_expect_str_eq(text, "MultiDiscrete(2, 5, 3)");
    mt_space_fini(&out);
    given.kind = MANTA_SPACE_MULTI_BINARY, given.nvec = NULL;
    cr_assert(mt_space_init(&out, &given, "space") == MT_OK, "%s", mt_last_error());
    cr_expect(out.logits == 6 && out.nvec[2] == 2);
    mt_space_fini(&out);
    given.kind = MANTA_SPACE_DISCRETE, given.ndim = 0, given.nvec = nvec + 1;
    cr_assert(mt_space_init(&out, &given, "space") == MT_OK, "%s", mt_last_error());
    cr_expect(out.logits == 5 && out.count == 1);
    mt_space_format(&out, text, sizeof text);
    cr_expect_str_eq(text, "Discrete(5)");
    mt_space_fini(&out);
}

Test(space, format_stays_inside_its_bytes) {
    int64_t nvec[40];
    for (int i = 0; i < 40; i++) nvec[i] = INT64_C(1000000) + i;
    manta_space given = {.struct_size = sizeof given, .kind = MANTA_SPACE_MULTI_DISCRETE, .dtype = MANTA_I32, .ndim = 1, .shape = {40},
        .nvec = nvec};
    mt_space out;
    cr_assert(mt_space_init(&out, &given, "space") == MT_OK, "%s", mt_last_error());
    for (size_t bytes = 1; bytes < 120; bytes++) {
        char text[128];
        memset(text, '#', sizeof text);
        mt_space_format(&out, text, bytes);
        cr_expect(memchr(text, 0, bytes) && text[bytes] == '#', "%zu bytes", bytes);
    }
    mt_space_fini(&out);
}

Test(space, refusals_say_why) {
    const float low[2] = {0, 2}, high[2] = {1, 1}, nan_low[2] = {NAN, 0};
    const int64_t bad_nvec[1] = {0};
    manta_space s = box(2, low, high);
    refuses(NULL, MT_PLUGIN, "returned NULL");
    refuses(&s, MT_PLUGIN, "low[1] is 2 and high[1] is 1");
    s.low = nan_low;
    refuses(&s, MT_PLUGIN, "low[0] is");
    s = box(0, NULL, NULL);
    refuses(&s, MT_PLUGIN, "shape[0] is 0");
    s = box(INT64_MAX, NULL, NULL);
    refuses(&s, MT_PLUGIN, "shape[0]");
    s.ndim = 2, s.shape[0] = INT64_C(1) << 20, s.shape[1] = INT64_C(1) << 62;
    refuses(&s, MT_PLUGIN, "shape[1]");
    s = box(2, NULL, NULL), s.struct_size = 8;
    refuses(&s, MT_PLUGIN, "struct_size is 8");
    s = box(2, NULL, NULL), s.kind = 99;
    refuses(&s, MT_PLUGIN, "kind 99");
    s = box(2, NULL, NULL), s.dtype = 0;
    refuses(&s, MT_PLUGIN, "dtype 0");
    s = box(2, NULL, NULL), s.ndim = 7;
    refuses(&s, MT_PLUGIN, "ndim is 7");
    s = (manta_space){.struct_size = sizeof s, .kind = MANTA_SPACE_DISCRETE, .dtype = MANTA_I32};
    refuses(&s, MT_PLUGIN, "nvec is NULL");
    s.nvec = bad_nvec;
    refuses(&s, MT_PLUGIN, "nvec[0] is 0");
    s.dtype = MANTA_F32;
    refuses(&s, MT_PLUGIN, "hold MANTA_I32");
}

// ---------------------------------------------------------------- dict and tuple

enum { CHILDREN = 4 };
typedef struct composite {
    manta_space whole, child[CHILDREN];
    const manta_space *list[CHILDREN];
} composite;

// children are to be filled in
static manta_space *make(composite *c, manta_space_kind kind, uint32_t count) {
    static const char *const names[CHILDREN] = {"a", "b", "c", "d"};
    memset(c, 0, sizeof *c);
    for (int i = 0; i < CHILDREN; i++) c->list[i] = &c->child[i];
    for (int i = 0; i < CHILDREN; i++) c->child[i] = box(1, NULL, NULL), c->child[i].name = names[i];
    c->whole = (manta_space){.struct_size = sizeof c->whole, .kind = kind, .child_count = count, .children = c->list};
    return c->child;
}

static void bytes_of(manta_space *space, int64_t n) { space->dtype = MANTA_U8, space->shape[0] = n; }

static void lies(const mt_space *space, int part, const char *name, size_t offset, size_t bytes) {
    const mt_space *p = mt_space_part(space, part);
    cr_expect(strcmp(p->name, name) == 0 && p->offset == offset && p->bytes == bytes, "part %d: %s at %zu, %zu bytes, not %s at %zu, %zu", part,
        p->name, p->offset, p->bytes, name, offset, bytes);
}

Test(space, a_dict_lies_as_a_struct_does) {
    struct element {
        uint8_t a[3];
        struct {
            uint8_t a[5], b[2];
            struct {
                float a;
                uint8_t b;
            } c;
            uint8_t d;
        } b;
        uint8_t c[1];
        int32_t d;
    };
    composite outer, middle, inner;
    manta_space *o = make(&outer, MANTA_SPACE_DICT, 4), *m = make(&middle, MANTA_SPACE_DICT, 4), *i = make(&inner, MANTA_SPACE_DICT, 2);
    const int64_t seven[] = {7};
    bytes_of(&o[0], 3), bytes_of(&o[2], 1), bytes_of(&m[0], 5), bytes_of(&m[1], 2), bytes_of(&m[3], 1), bytes_of(&i[1], 1);
    o[3] = (manta_space){.struct_size = sizeof *o, .kind = MANTA_SPACE_DISCRETE, .dtype = MANTA_I32, .nvec = seven, .name = "d"};
    inner.whole.name = "c", middle.list[2] = &inner.whole;
    middle.whole.name = "b", outer.list[1] = &middle.whole;
    mt_space out;
    cr_assert(mt_space_init(&out, &outer.whole, "space") == MT_OK, "%s", mt_last_error());
    cr_expect(mt_space_parts(&out) == 8 && out.count == 3 + 5 + 2 + 1 + 1 + 1 + 1 + 1 && !out.bounded);
    cr_expect(out.bytes == sizeof(struct element), "%zu bytes, not %zu", out.bytes, sizeof(struct element));
    lies(&out, 0, "a", 0, 3);
    lies(&out, 1, "b.a", offsetof(struct element, b.a), 5);
    lies(&out, 2, "b.b", offsetof(struct element, b.b), 2);
    lies(&out, 3, "b.c.a", offsetof(struct element, b.c.a), 4);
    lies(&out, 4, "b.c.b", offsetof(struct element, b.c.b), 1);
    lies(&out, 5, "b.d", offsetof(struct element, b.d), 1);
    lies(&out, 6, "c", offsetof(struct element, c), 1);
    lies(&out, 7, "d", offsetof(struct element, d), 4);
    char text[256];
    mt_space_format(&out, text, sizeof text);
    cr_expect_str_eq(text, "Dict(a: Box(3) u8, b.a: Box(5) u8, b.b: Box(2) u8, b.c.a: Box(1) f32, b.c.b: Box(1) u8, b.d: Box(1) u8, c: Box(1) u8, "
        "d: Discrete(7))");
    for (size_t bytes = 1; bytes < 170; bytes++) {
        memset(text, '#', sizeof text);
        mt_space_format(&out, text, bytes);
        cr_expect(memchr(text, 0, bytes) && text[bytes] == '#', "%zu bytes", bytes);
    }
    mt_space_fini(&out);
}

Test(space, bytes_alone_are_not_padded) {
    composite c;
    manta_space *child = make(&c, MANTA_SPACE_TUPLE, 2);
    mt_space out;
    bytes_of(&child[0], 3), bytes_of(&child[1], 4);
    child[0].name = child[1].name = NULL;   // not read
    cr_assert(mt_space_init(&out, &c.whole, "space") == MT_OK, "%s", mt_last_error());
    cr_expect_eq(out.bytes, 7);
    lies(&out, 0, "0", 0, 3);
    lies(&out, 1, "1", 3, 4);
    mt_space_fini(&out);
}

Test(space, a_plain_space_is_its_own_part) {
    manta_space given = box(2, NULL, NULL);
    mt_space out;
    cr_assert(mt_space_init(&out, &given, "space") == MT_OK);
    cr_expect(mt_space_parts(&out) == 1 && mt_space_part(&out, 0) == &out && out.offset == 0 && out.name[0] == 0);
    mt_space_fini(&out);
}

Test(space, refusals_of_dicts_say_why) {
    composite c, d;
    manta_space *child = make(&c, MANTA_SPACE_DICT, 3);
    c.whole.child_count = 0;
    refuses(&c.whole, MT_PLUGIN, "space: child_count is 0 and children is given; a dict or tuple has 1 to 32");
    c.whole.child_count = 33;
    refuses(&c.whole, MT_PLUGIN, "child_count is 33");
    c.whole.child_count = 3, c.whole.children = NULL;
    refuses(&c.whole, MT_PLUGIN, "children is NULL");
    make(&c, MANTA_SPACE_DICT, 3), c.list[2] = NULL;
    refuses(&c.whole, MT_PLUGIN, "children[2] is NULL");
    make(&c, MANTA_SPACE_DICT, 3), child[1].name = "a";
    refuses(&c.whole, MT_PLUGIN, "two children are called a");
    child[1].name = "a.b";
    refuses(&c.whole, MT_PLUGIN, "name of child 1 is not one that is allowed");
    child[1].name = "";
    refuses(&c.whole, MT_PLUGIN, "name of child 1");
    child[1].name = "a-name_of-32-characters-------32";
    refuses(&c.whole, MT_PLUGIN, "1 to 31 of the characters");
    make(&c, MANTA_SPACE_DICT, 3), child[2].struct_size = 8;
    refuses(&c.whole, MT_PLUGIN, "space, part c: struct_size is 8");
    make(&c, MANTA_SPACE_DICT, 3), child[2].kind = 7;
    refuses(&c.whole, MT_PLUGIN, "part c: kind 7");
    make(&c, MANTA_SPACE_DICT, 3), child[2].dtype = 0;
    refuses(&c.whole, MT_PLUGIN, "part c: dtype 0");
    make(&c, MANTA_SPACE_DICT, 3), child[0].shape[0] = child[2].shape[0] = INT64_C(1) << 27, child[0].low = child[2].low = NULL;
    bytes_of(&child[0], 1 << 27), bytes_of(&child[2], 1 << 27);
    refuses(&c.whole, MT_PLUGIN, "part c: the parts have more than 268435456 values together");
    make(&c, MANTA_SPACE_TUPLE, 2), make(&d, MANTA_SPACE_TUPLE, 2), c.list[1] = &d.whole, d.list[1] = &c.whole;
    refuses(&c.whole, MT_PLUGIN, "more than 4 dicts or tuples inside one another");
    c.list[0] = &d.whole, d.list[0] = &c.whole;
    refuses(&c.whole, MT_PLUGIN, "space, part 0.0.0.0: more than 4");
}

Test(space, actions_have_one_part) {
    composite c;
    mt_space out;
    make(&c, MANTA_SPACE_DICT, 2);
    cr_expect(mt_space_init_action(&out, &c.whole, "space") == MT_UNSUPPORTED && strstr(mt_last_error(), "actions of several parts"));
    manta_space given = box(2, NULL, NULL);
    given.dtype = MANTA_I32;
    cr_expect(mt_space_init_action(&out, &given, "space") == MT_UNSUPPORTED && strstr(mt_last_error(), "must be MANTA_F32"));
    given.dtype = MANTA_F32;
    cr_assert(mt_space_init_action(&out, &given, "space") == MT_OK);
    mt_space_fini(&out);
    cr_expect(mt_space_init_action(&out, NULL, "space") == MT_PLUGIN);
}
