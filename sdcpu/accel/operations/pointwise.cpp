// Activations, sums and products of elements, with the broadcasts that pictures need.
#include "../tensors.h"
#include "operations.h"

namespace sdcpu {

namespace {

constexpr int64_t chunk = 4096; // elements of an item of work

// Calls work(begin, end) until [0, count) is done by the whole team.
template <class Work> void share_elements(Team &team, int64_t count, const Work &work) {
    Share share = team.share((count + chunk - 1) / chunk, 4);
    for (Range piece; share.take(piece);) {
        const int64_t end = piece.end * chunk;
        work(piece.begin * chunk, end < count ? end : count);
    }
}

// Calls work(r) for each of `rows` rows of `columns` elements.
template <class Work> void share_rows(Team &team, int64_t rows, int64_t columns, const Work &work) {
    Share share = team.share(rows, 4 * chunk / columns + 1);
    for (Range piece; share.take(piece);)
        for (int64_t r = piece.begin; r < piece.end; r++) work(r);
}

// The elements of t that b covers before it is repeated along the dimensions where it has one; 0 when it is repeated
// in another way.
int64_t repeated_block(const ggml_tensor *t, const ggml_tensor *b) {
    int dimension = 0;
    int64_t block = 1;
    for (; dimension < 4 && b->ne[dimension] == t->ne[dimension]; dimension++) block *= t->ne[dimension];
    for (; dimension < 4; dimension++)
        if (b->ne[dimension] != 1) return 0;
    return block;
}

} // namespace

bool run_unary(const Task &task) {
    const ggml_tensor *t = task.result;
    if (!is_contiguous_f32(t) || !is_contiguous_f32(t->src[0])) return false;
    const Kernels &k = task.kernels;
    const int function = t->op_params[0];
    if (t->op == op_leaky_relu || function == unary_relu) {
        const float slope = t->op == op_leaky_relu ? float_parameter(t, 0) : 0;
        if (!(slope <= 1)) return false;
        share_elements(task.team, element_count(t), [&](int64_t begin, int64_t end) {
            k.leaky_relu(floats(t) + begin, floats(t->src[0]) + begin, end - begin, slope);
        });
        return true;
    }
    const auto kernel = function == unary_silu         ? k.silu
                        : function == unary_gelu       ? k.gelu
                        : function == unary_gelu_quick ? k.gelu_quick
                                                       : nullptr;
    if (!kernel) return false;
    share_elements(task.team, element_count(t), [&](int64_t begin, int64_t end) {
        kernel(floats(t) + begin, floats(t->src[0]) + begin, end - begin);
    });
    return true;
}

bool run_scale(const Task &task) {
    const ggml_tensor *t = task.result;
    if (!is_contiguous_f32(t) || !is_contiguous_f32(t->src[0])) return false;
    const float scale = float_parameter(t, 0), shift = float_parameter(t, 1);
    share_elements(task.team, element_count(t), [&](int64_t begin, int64_t end) {
        task.kernels.affine(floats(t) + begin, floats(t->src[0]) + begin, end - begin, scale, shift, false);
    });
    return true;
}

bool run_sum_or_product(const Task &task) {
    const ggml_tensor *t = task.result, *a = t->src[0], *b = t->src[1];
    const auto has_float_rows = [](const ggml_tensor *x) { return is_f32(x) && has_dense_rows(x); };
    if (!has_float_rows(t) || !has_float_rows(a) || !has_float_rows(b)) return false;
    const Kernels &k = task.kernels;
    const int64_t columns = t->ne[0];

    if (const ggml_tensor *gate = task.fusion.gate) {
        share_rows(task.team, row_count(t), columns, [&](int64_t r) {
            const RowPlace place = row_place(t, r);
            k.multiply_gelu(row_at(t, place), row_at(a, place), row_at(gate, place), columns);
        });
        return true;
    }

    const bool is_sum = t->op == op_add;
    const auto with_values = is_sum ? k.add : k.multiply;
    const auto with_number = is_sum ? k.add_number : k.multiply_number;
    if (b->ne[0] != columns && b->ne[0] != 1) return false;
    if (has_same_shape(a, b) && is_contiguous(t) && is_contiguous(a) && is_contiguous(b)) {
        share_elements(task.team, element_count(t), [&](int64_t begin, int64_t end) {
            with_values(floats(t) + begin, floats(a) + begin, floats(b) + begin, end - begin);
        });
        return true;
    }
    const int64_t block = repeated_block(t, b);
    if (block >= 16 && is_contiguous(t) && is_contiguous(a) && is_contiguous(b)) {
        share_rows(task.team, element_count(t) / block, block,
                   [&](int64_t r) { with_values(floats(t) + r * block, floats(a) + r * block, floats(b), block); });
        return true;
    }
    if (b->ne[0] == 1 && b->ne[1] == 1 && is_contiguous(t) && is_contiguous(a)) { // one number per channel
        const int64_t pixels = columns * t->ne[1];
        share_rows(task.team, t->ne[2] * t->ne[3], pixels, [&](int64_t channel) {
            const int64_t i2 = channel % t->ne[2], i3 = channel / t->ne[2];
            const float number = *floats_at(b, 0, i2 % b->ne[2], i3 % b->ne[3]);
            with_number(floats(t) + channel * pixels, floats(a) + channel * pixels, number, pixels);
        });
        return true;
    }
    if (columns < 16) return false;
    share_rows(task.team, row_count(t), columns, [&](int64_t r) {
        const RowPlace place = row_place(t, r);
        const float *values = floats_at(b, place.i1 % b->ne[1], place.i2 % b->ne[2], place.i3 % b->ne[3]);
        if (b->ne[0] == 1) with_number(row_at(t, place), row_at(a, place), *values, columns);
        else with_values(row_at(t, place), row_at(a, place), values, columns);
    });
    return true;
}

} // namespace sdcpu
