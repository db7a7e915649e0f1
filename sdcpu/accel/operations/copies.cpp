// Operations that only move floats: copies and transpositions, concatenation, padding, doubling of pictures.
#include <algorithm>
#include <cstring>

#include "../tensors.h"
#include "operations.h"

namespace sdcpu {

namespace {

constexpr int64_t chunk = 4096; // elements of an item of work

void copy_floats(float *to, const float *from, int64_t count) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
}

// Calls work(r) for each of `rows` rows of `columns` elements.
template <class Work> void share_rows(Team &team, int64_t rows, int64_t columns, const Work &work) {
    Share share = team.share(rows, 4 * chunk / columns + 1);
    for (Range piece; share.take(piece);)
        for (int64_t r = piece.begin; r < piece.end; r++) work(r);
}

template <class Work> void share_chunks(Team &team, int64_t count, const Work &work) {
    share_rows(team, (count + chunk - 1) / chunk, chunk,
               [&](int64_t i) { work(i * chunk, std::min((i + 1) * chunk, count)); });
}

// Dimensions 0 and 1 change places: the columns of the source are dense.
void transpose_matrices(const Task &task) {
    constexpr int64_t strip = 64;
    const ggml_tensor *t = task.result, *from = t->src[0];
    const int64_t columns = t->ne[0], rows = t->ne[1], strips = (rows + strip - 1) / strip;
    share_rows(task.team, t->ne[2] * t->ne[3] * strips, strip * columns, [&](int64_t item) {
        const int64_t matrix = item / strips, first = item % strips * strip;
        const float *source = floats_at(from, 0, matrix % t->ne[2], matrix / t->ne[2]) + first;
        task.kernels.transpose(floats(t) + (matrix * rows + first) * columns, static_cast<size_t>(columns), source,
                               from->nb[0] / sizeof(float), std::min(strip, rows - first), columns);
    });
}

// Dimensions 0 and 2 change places: pictures of interleaved channels.
void transpose_channels(const Task &task) {
    const ggml_tensor *t = task.result, *from = t->src[0];
    const int64_t columns = t->ne[0], rows = t->ne[1];
    share_rows(task.team, rows, columns * t->ne[2], [&](int64_t row) {
        task.kernels.transpose(floats(t) + row * columns, static_cast<size_t>(columns * rows),
                               floats_at(from, row, 0, 0), from->nb[0] / sizeof(float), t->ne[2], columns);
    });
}

} // namespace

bool run_copy(const Task &task) {
    const ggml_tensor *t = task.result, *from = t->src[0];
    if (!is_f32(from) || !is_contiguous(t) || element_count(t) != element_count(from)) return false;
    if (t->type == type_f16) {
        if (!is_contiguous(from)) return false;
        share_chunks(task.team, element_count(t), [&](int64_t begin, int64_t end) {
            task.kernels.to_half(static_cast<uint16_t *>(t->data) + begin, floats(from) + begin, end - begin);
        });
        return true;
    }
    if (!is_f32(t)) return false;
    if (is_contiguous(from)) {
        if (t->data == from->data) return true;
        share_chunks(task.team, element_count(t), [&](int64_t begin, int64_t end) {
            copy_floats(floats(t) + begin, floats(from) + begin, end - begin);
        });
        return true;
    }
    if (!has_same_shape(t, from)) return false;
    if (has_dense_rows(from)) {
        share_rows(task.team, row_count(t), t->ne[0],
                   [&](int64_t r) { copy_floats(floats(t) + r * t->ne[0], row_at(from, row_place(t, r)), t->ne[0]); });
        return true;
    }
    if (from->nb[1] == sizeof(float)) {
        transpose_matrices(task);
        return true;
    }
    if (from->nb[2] == sizeof(float) && t->ne[3] == 1) {
        transpose_channels(task);
        return true;
    }
    const size_t step = from->nb[0] / sizeof(float);
    if (from->nb[0] % sizeof(float)) return false;
    share_rows(task.team, row_count(t), t->ne[0], [&](int64_t r) {
        float *out = floats(t) + r * t->ne[0];
        const float *in = row_at(from, row_place(t, r));
        if (step == 2) // the halves of a rotary embedding
            for (int64_t i = 0; i < t->ne[0]; i++) out[i] = in[2 * i];
        else
            for (int64_t i = 0; i < t->ne[0]; i++) out[i] = in[static_cast<size_t>(i) * step];
    });
    return true;
}

bool run_concatenate(const Task &task) {
    const ggml_tensor *t = task.result, *a = t->src[0], *b = t->src[1];
    const int dimension = t->op_params[0];
    if (!is_contiguous_f32(t) || !is_f32(a) || !is_f32(b) || !has_dense_rows(a) || !has_dense_rows(b)) return false;
    const int64_t columns = t->ne[0];
    share_rows(task.team, row_count(t), columns, [&](int64_t r) {
        const RowPlace place = row_place(t, r);
        float *out = floats(t) + r * columns;
        if (dimension == 0) {
            copy_floats(out, row_at(a, place), a->ne[0]);
            copy_floats(out + a->ne[0], row_at(b, place), b->ne[0]);
            return;
        }
        int64_t index[4] = {0, place.i1, place.i2, place.i3};
        const bool is_second = index[dimension] >= a->ne[dimension];
        if (is_second) index[dimension] -= a->ne[dimension];
        copy_floats(out, floats_at(is_second ? b : a, index[1], index[2], index[3]), columns);
    });
    return true;
}

// Each element several times side by side: one number everywhere, or the halves of a rotary embedding.
bool run_repeat(const Task &task) {
    const ggml_tensor *t = task.result, *in = t->src[0];
    if (!is_contiguous_f32(t) || !is_contiguous_f32(in)) return false;
    int dimension = 0;
    int64_t times = 1; // dimensions of one element come first, then those that are the same in both
    for (; dimension < 4 && in->ne[dimension] == 1; dimension++) times *= t->ne[dimension];
    for (; dimension < 4; dimension++)
        if (in->ne[dimension] != t->ne[dimension]) return false;
    share_rows(task.team, (element_count(in) + chunk - 1) / chunk, chunk * times, [&](int64_t item) {
        const int64_t begin = item * chunk, end = std::min(begin + chunk, element_count(in));
        float *out = floats(t) + begin * times;
        if (times == 2) {
            for (int64_t i = begin; i < end; i++, out += 2) out[0] = out[1] = floats(in)[i];
        } else {
            for (int64_t i = begin; i < end; i++, out += times) std::fill(out, out + times, floats(in)[i]);
        }
    });
    return true;
}

bool run_pad(const Task &task) {
    const ggml_tensor *t = task.result, *in = t->src[0];
    if (!is_contiguous_f32(t) || !is_f32(in) || !has_dense_rows(in) || t->op_params[8]) return false; // 8: circular
    int64_t before[4];
    for (int i = 0; i < 4; i++) {
        before[i] = t->op_params[2 * i];
        if (t->ne[i] != in->ne[i] + before[i] + t->op_params[2 * i + 1]) return false;
    }
    const int64_t columns = t->ne[0];
    const auto is_inside = [&](int64_t i, int dimension) { return i >= 0 && i < in->ne[dimension]; };
    share_rows(task.team, row_count(t), columns, [&](int64_t r) {
        const RowPlace place = row_place(t, r);
        const int64_t i1 = place.i1 - before[1], i2 = place.i2 - before[2], i3 = place.i3 - before[3];
        float *out = floats(t) + r * columns;
        if (!is_inside(i1, 1) || !is_inside(i2, 2) || !is_inside(i3, 3)) {
            std::fill(out, out + columns, 0.f);
            return;
        }
        std::fill(out, out + before[0], 0.f);
        copy_floats(out + before[0], floats_at(in, i1, i2, i3), in->ne[0]);
        std::fill(out + before[0] + in->ne[0], out + columns, 0.f);
    });
    return true;
}

// Each pixel becomes four.
bool run_upscale(const Task &task) {
    constexpr int nearest = 0; // GGML_SCALE_MODE_NEAREST
    const ggml_tensor *t = task.result, *in = t->src[0];
    const bool doubles =
        t->ne[0] == 2 * in->ne[0] && t->ne[1] == 2 * in->ne[1] && t->ne[2] == in->ne[2] && t->ne[3] == in->ne[3];
    if (t->op_params[0] != nearest || !doubles || !is_contiguous_f32(t) || !is_contiguous_f32(in)) return false;
    const int64_t columns = in->ne[0];
    share_rows(task.team, row_count(in), 4 * columns, [&](int64_t r) {
        const float *row = floats(in) + r * columns;
        float *out = floats(t) + 4 * r * columns;
        for (int64_t i = 0; i < columns; i++) out[2 * i] = out[2 * i + 1] = row[i];
        copy_floats(out + 2 * columns, out, 2 * columns);
    });
    return true;
}

} // namespace sdcpu
