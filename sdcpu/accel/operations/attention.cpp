// Attention as one operation (the engine's flag diffusion_flash_attn).
#include <algorithm>
#include <cmath>

#include "../tensors.h"
#include "operations.h"

namespace sdcpu {

namespace {

constexpr int64_t largest_head = 1024;
// A thread that changes to another head packs its keys and values anew: pieces of at least 192 queries.
constexpr int64_t least_groups = 32;

bool attention_runs(const ggml_tensor *t) {
    const ggml_tensor *query = t->src[0], *key = t->src[1], *value = t->src[2], *mask = t->src[3], *sinks = t->src[4];
    const float slope = float_parameter(t, 1), soft_cap = float_parameter(t, 2);
    const auto is_readable = [](const ggml_tensor *x) {
        return (x->type == type_f32 || x->type == type_f16) && has_dense_rows(x);
    };
    if (slope != 0 || soft_cap != 0 || sinks || !is_f32(query) || !has_dense_rows(query) || !is_f32(t)) return false;
    if (!is_readable(key) || !is_readable(value) || query->ne[0] > largest_head || value->ne[0] > largest_head)
        return false;
    if (key->ne[3] != query->ne[3] || value->ne[3] != query->ne[3] || value->ne[2] != key->ne[2]) return false;
    return !mask || (mask->ne[2] == 1 && mask->ne[3] == 1 && mask->type == type_f16 && has_dense_rows(mask));
}

// Mean squares of each element over some of `count` rows, evenly spread from the first one on.
void mean_squares(const Kernels &kernels, int type, const char *rows, size_t stride, int64_t count, int64_t size,
                  float *squares) {
    constexpr int64_t most_samples = 64;
    float row[largest_head];
    const int64_t samples = std::min(count, most_samples);
    std::fill(squares, squares + size, 0.f);
    for (int64_t i = 0; i < samples; i++) {
        kernels.to_float(row, rows + static_cast<size_t>(i * count / samples) * stride, type, 0, size);
        for (int64_t k = 0; k < size; k++) squares[k] += row[k] * row[k] / static_cast<float>(samples);
    }
}

// How far rounding queries and keys to bf16 changes the scores of a head: the root of the mean square, estimated.
// Each operand is off by about 2^-9 of itself, the products of a score by about 2^-8.5, as often up as down.
float score_error(const Kernels &kernels, const Attention &a, int64_t head) {
    constexpr float error_of_product = 0.00276f; // 2^-8.5
    float query[largest_head], key[largest_head];
    mean_squares(kernels, type_f32, a.query + static_cast<size_t>(head) * a.query_head_stride, a.query_stride,
                 a.query_count, a.head_size, query);
    mean_squares(kernels, a.key_type, a.key + static_cast<size_t>(head / a.heads_per_key_head) * a.key_head_stride,
                 a.key_stride, a.key_count, a.head_size, key);
    float sum = 0;
    for (int64_t k = 0; k < a.head_size; k++) sum += query[k] * key[k];
    return error_of_product * a.scale * std::sqrt(sum);
}

// Some networks (Stable Diffusion 2.1, Qwen2.5) have scores in the hundreds: rounded, they would choose other keys.
constexpr float most_score_error = 1.f / 32;

} // namespace

bool run_attention(const Task &task) {
    const ggml_tensor *t = task.result, *query = t->src[0], *key = t->src[1], *value = t->src[2], *mask = t->src[3];
    if (!attention_runs(t)) return false;
    Attention a = {};
    a.query_stride = query->nb[1];
    a.query_head_stride = query->nb[2];
    a.key_stride = key->nb[1];
    a.key_head_stride = key->nb[2];
    a.value_stride = value->nb[1];
    a.value_head_stride = value->nb[2];
    a.out_head_stride = t->nb[1];
    a.out_query_stride = t->nb[2];
    a.key_type = key->type;
    a.value_type = value->type;
    a.head_size = query->ne[0];
    a.value_size = value->ne[0];
    a.query_count = query->ne[1];
    a.key_count = key->ne[1];
    a.head_count = query->ne[2];
    a.heads_per_key_head = query->ne[2] / key->ne[2];
    a.scale = float_parameter(t, 0);
    if (mask) {
        a.mask = static_cast<const char *>(mask->data);
        a.mask_stride = mask->nb[1];
    }
    const int64_t groups_per_head = (a.query_count + task.kernels.tile_rows - 1) / task.kernels.tile_rows;
    const int64_t groups = groups_per_head * a.head_count;
    Share share = task.team.share(query->ne[3] * groups, std::min(least_groups, groups_per_head));
    for (Range piece; share.take(piece);)
        for (int64_t i = piece.begin; i < piece.end;) { // the part of the piece in one head
            const int64_t picture = i / groups, head = i % groups / groups_per_head;
            const int64_t end = std::min(piece.end, (i / groups_per_head + 1) * groups_per_head);
            a.query = bytes_at(query, 0, 0, picture);
            a.key = bytes_at(key, 0, 0, picture);
            a.value = bytes_at(value, 0, 0, picture);
            a.out = floats_at(t, 0, 0, picture);
            const bool is_exact = task.kernels.exact && !(score_error(task.kernels, a, head) <= most_score_error);
            const Kernels &kernels = is_exact ? task.exact_kernels() : task.kernels;
            kernels.attention(a, {i - picture * groups, end - picture * groups});
            i = end;
        }
    return true;
}

} // namespace sdcpu
