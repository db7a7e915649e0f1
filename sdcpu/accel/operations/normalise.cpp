// Group norm, layer norm, RMS norm and softmax.
#include <algorithm>
#include <cmath>

#include "../tensors.h"
#include "operations.h"

namespace sdcpu {

namespace {

// Rows of one share: at least 16384 values.
int64_t rows_at_least(int64_t columns) { return 16384 / std::max<int64_t>(columns, 1) + 1; }

const float *values_or_null(const ggml_tensor *t) { return t ? floats(t) : nullptr; }

} // namespace

bool run_group_norm(const Task &task) {
    const ggml_tensor *t = task.result, *in = t->src[0];
    if (!is_contiguous_f32(t) || !is_contiguous_f32(in)) return false;
    const Kernels &kernels = task.kernels;
    const int64_t groups = t->op_params[0], channels = t->ne[2], pixels = t->ne[0] * t->ne[1];
    const float epsilon = float_parameter(t, 1);
    const int64_t channels_per_group = (channels + groups - 1) / groups;
    const float *scale = values_or_null(task.fusion.scale), *shift = values_or_null(task.fusion.shift);
    Share share = task.team.share(t->ne[3] * groups);
    for (Range piece; share.take(piece);)
        for (int64_t i = piece.begin; i < piece.end; i++) {
            const int64_t picture = i / groups, first = i % groups * channels_per_group;
            const int64_t last = std::min(first + channels_per_group, channels);
            if (first >= last) continue;
            const int64_t count = (last - first) * pixels;
            double mean, variance;
            kernels.moments(floats(in) + (picture * channels + first) * pixels, count, &mean, &variance);
            const float factor = 1.f / std::sqrt(static_cast<float>(variance) + epsilon);
            for (int64_t channel = first; channel < last; channel++) {
                const float a = scale ? factor * scale[channel] : factor;
                const float b = (shift ? shift[channel] : 0.f) - static_cast<float>(mean) * a;
                const int64_t place = (picture * channels + channel) * pixels;
                kernels.affine(floats(t) + place, floats(in) + place, pixels, a, b, task.fusion.silu);
            }
        }
    return true;
}

bool run_norm(const Task &task) {
    const ggml_tensor *t = task.result, *in = t->src[0];
    if (!is_contiguous_f32(t) || !is_f32(in) || !has_dense_rows(in)) return false;
    const int64_t columns = t->ne[0];
    const float epsilon = float_parameter(t, 0);
    const float *scale = values_or_null(task.fusion.scale), *shift = values_or_null(task.fusion.shift);
    Share share = task.team.share(row_count(t), rows_at_least(columns));
    for (Range piece; share.take(piece);)
        for (int64_t r = piece.begin; r < piece.end; r++) {
            const float *row = row_at(in, row_place(in, r));
            if (t->op == op_norm) task.kernels.layer_norm(floats(t) + r * columns, row, columns, epsilon, scale, shift);
            else task.kernels.rms_norm(floats(t) + r * columns, row, columns, epsilon, scale);
        }
    return true;
}

bool softmax_runs(const ggml_tensor *t) {
    const float scale = float_parameter(t, 0), slope = float_parameter(t, 1);
    return !t->src[1] && !t->src[2] && is_contiguous_f32(t) && is_contiguous_f32(t->src[0]) && slope == 0 && scale > 0;
}

bool run_softmax(const Task &task) {
    const ggml_tensor *t = task.result;
    if (!softmax_runs(t)) return false;
    const int64_t columns = t->ne[0];
    const float scale = float_parameter(t, 0) * task.fusion.factor;
    Share share = task.team.share(row_count(t), rows_at_least(columns));
    for (Range piece; share.take(piece);)
        for (int64_t r = piece.begin; r < piece.end; r++)
            task.kernels.softmax(floats(t) + r * columns, floats(t->src[0]) + r * columns, columns, scale);
    return true;
}

} // namespace sdcpu
