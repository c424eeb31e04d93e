// tensor.h: types, counts, shapes, printing.
#include <criterion/criterion.h>
#include "engine/base/tensor.h"

Test(tensor, types) {
    cr_assert_eq(mt_dtype_bytes(MT_F32), 4);
    cr_assert_eq(mt_dtype_bytes(MT_BF16), 2);
    cr_assert_eq(mt_dtype_bytes((mt_dtype)99), 0);
    cr_assert_str_eq(mt_dtype_name(MT_U8), "U8");
    cr_assert_str_eq(mt_dtype_name((mt_dtype)-1), "?");
}

Test(tensor, counts) {
    mt_tensor scalar = {.dtype = MT_F64}, matrix = {.dtype = MT_F32, .ndim = 2, .shape = {64, 4}};
    mt_tensor empty = {.dtype = MT_F32, .ndim = 3, .shape = {2, 0, 5}};
    cr_assert_eq(mt_tensor_count(&scalar), 1);
    cr_assert_eq(mt_tensor_bytes(&scalar), 8);
    cr_assert_eq(mt_tensor_bytes(&matrix), 1024);
    cr_assert_eq(mt_tensor_count(&empty), 0);
    mt_tensor same = matrix, other = matrix;
    same.dtype = MT_I32;
    other.shape[1] = 5;
    cr_assert(mt_tensor_same_shape(&matrix, &same));
    cr_assert(!mt_tensor_same_shape(&matrix, &other));
    cr_assert(!mt_tensor_same_shape(&matrix, &scalar));
}

Test(tensor, prints) {
    char out[64];
    mt_tensor t = {.dtype = MT_F32, .ndim = 2, .shape = {64, 4}};
    mt_tensor_format(&t, out, sizeof out);
    cr_assert_str_eq(out, "F32 (64, 4)");
    cr_assert_eq(mt_tensor_format(&t, out, 5), 11);
    cr_assert_str_eq(out, "F32 ");
    mt_tensor six = {.dtype = MT_I64, .ndim = 6, .shape = {INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN}};
    char wide[256];
    mt_tensor_format(&six, wide, sizeof wide);
    cr_assert_not_null(strstr(wide, "-9223372036854775808)"));
}
