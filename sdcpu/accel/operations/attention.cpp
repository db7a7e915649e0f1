// Attention as one operation (the engine's flag diffusion_flash_attn).
#include <algorithm>
#include <cmath>
#include <vector>

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

// What the scores of a head are computed with.
enum class Operands : uint8_t {
    integers,
    rounded, // as the kernels do it: to bf16, or not at all
    exact,
};

// What some rows of a head tell of all, evenly spread from the first one on.
struct Sample {
    static constexpr int64_t most_rows = 64;
    int64_t count, size;
    std::vector<float> values; // [row][channel]

    Sample(const Kernels &kernels, int type, const char *rows, size_t stride, int64_t row_count, int64_t size)
        : count(std::min(row_count, most_rows)), size(size), values(static_cast<size_t>(count * size)) {
        for (int64_t i = 0; i < count; i++)
            kernels.to_float(&values[static_cast<size_t>(i * size)],
                             rows + static_cast<size_t>(i * row_count / count) * stride, type, 0, size);
    }

    // Of each channel: the mean of (value - middle)^2; without middles of the squares themselves.
    void mean_squares(const float *middles, float *squares) const {
        std::fill(squares, squares + size, 0.f);
        for (int64_t i = 0; i < count; i++)
            for (int64_t k = 0; k < size; k++) {
                const float x = values[static_cast<size_t>(i * size + k)] - (middles ? middles[k] : 0);
                squares[k] += x * x / static_cast<float>(count);
            }
    }
};

// How far rounding queries and keys to bf16 changes the scores of a head: the root of the mean square, estimated.
// Each operand is off by about 2^-9 of itself, the products of a score by about 2^-8.5, as often up as down.
float rounding_error(const Attention &a, const Sample &queries, const Sample &keys) {
    constexpr float error_of_product = 0.00276f; // 2^-8.5
    float query_squares[largest_head], key_squares[largest_head], sum = 0;
    queries.mean_squares(nullptr, query_squares);
    keys.mean_squares(nullptr, key_squares);
    for (int64_t k = 0; k < a.head_size; k++) sum += query_squares[k] * key_squares[k];
    return error_of_product * a.scale * std::sqrt(sum);
}

// The same of quantising both to 8 bits: an error is spread evenly over a step. That of a key is one of its channel;
// that of a query 1/127 of its largest channel, counted in steps of the keys.
struct QuantisationError {
    float of_all, of_worst_query;

    QuantisationError(const Attention &a, const Sample &queries, const Sample &keys, const float *middles,
                      const float *steps, float largest_query) {
        float query_squares[largest_head], key_squares[largest_head];
        queries.mean_squares(nullptr, query_squares);
        keys.mean_squares(middles, key_squares);
        float from_keys = 0, key_length = 0, query_step = 0; // squared, of a quantised key
        for (int64_t k = 0; k < a.head_size; k++) {
            from_keys += query_squares[k] * steps[k] * steps[k];
            if (steps[k] != 0) key_length += key_squares[k] / (steps[k] * steps[k]);
        }
        for (int64_t i = 0; i < queries.count; i++) {
            float largest = 0;
            for (int64_t k = 0; k < a.head_size; k++)
                largest =
                    std::max(largest, std::fabs(queries.values[static_cast<size_t>(i * a.head_size + k)] * steps[k]));
            query_step += largest * largest / (127.f * 127.f) / static_cast<float>(queries.count);
        }
        of_all = a.scale * std::sqrt((from_keys + query_step * key_length) / 12);
        of_worst_query = a.scale * largest_query / 127 * std::sqrt(key_length / 12);
    }
};

// Some networks (Stable Diffusion 2.1, Qwen2.5) have scores in the hundreds: rounded, they would choose other keys.
constexpr float most_score_error = 1.f / 32;

// Of fewer keys, quantising the queries takes as long as multiplying bytes saves.
constexpr int64_t least_integer_keys = 512;

// The operands that are exact enough for a head; measures its keys.
Operands choose_operands(const Kernels &kernels, const Attention &a, int64_t head, float *middles, float *steps) {
    const Sample queries(kernels, type_f32, a.query + static_cast<size_t>(head) * a.query_head_stride, a.query_stride,
                         a.query_count, a.head_size);
    const Sample keys(kernels, a.key_type, a.key + static_cast<size_t>(head / a.heads_per_key_head) * a.key_head_stride,
                      a.key_stride, a.key_count, a.head_size);
    if (kernels.integer && kernels.integer->attention && a.key_count >= least_integer_keys) {
        const float largest_query = kernels.integer->measure_head(a, head, middles, steps);
        const QuantisationError error(a, queries, keys, middles, steps, largest_query);
        if (error.of_all <= most_score_error && error.of_worst_query <= 2 * most_score_error) return Operands::integers;
    }
    const bool is_rounded = !kernels.exact || rounding_error(a, queries, keys) <= most_score_error;
    return is_rounded ? Operands::rounded : Operands::exact;
}

void attend(const Task &task, const Attention &a, Operands operands, Range groups) {
    if (operands == Operands::integers) return task.kernels.integer->attention(a, groups);
    (operands == Operands::exact ? task.exact_kernels() : task.kernels).attention(a, groups);
}

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
    const int64_t heads = query->ne[3] * a.head_count; // of all pictures
    const auto go_to = [&](int64_t picture) {
        a.query = bytes_at(query, 0, 0, picture);
        a.key = bytes_at(key, 0, 0, picture);
        a.value = bytes_at(value, 0, 0, picture);
        a.out = floats_at(t, 0, 0, picture);
    };
    // For each head: the middles and steps of its keys, and at the end its operands.
    const size_t size = static_cast<size_t>(a.head_size);
    auto *middles = static_cast<float *>(
        task.team.shared_memory(static_cast<size_t>(heads) * (2 * size * sizeof(float) + sizeof(Operands))));
    float *steps = middles + static_cast<size_t>(heads) * size;
    auto *operands = reinterpret_cast<Operands *>(steps + static_cast<size_t>(heads) * size);
    Share unmeasured = task.team.share(heads);
    for (Range piece; unmeasured.take(piece);)
        for (int64_t i = piece.begin; i < piece.end; i++) {
            go_to(i / a.head_count);
            operands[i] = choose_operands(task.kernels, a, i % a.head_count, middles + static_cast<size_t>(i) * size,
                                          steps + static_cast<size_t>(i) * size);
        }
    task.team.wait();
    const int64_t groups_per_head = (a.query_count + task.kernels.tile_rows - 1) / task.kernels.tile_rows;
    Share share = task.team.share(heads * groups_per_head, std::min(least_groups, groups_per_head));
    for (Range piece; share.take(piece);)
        for (int64_t i = piece.begin; i < piece.end;) { // the part of the piece in one head
            const int64_t head = i / groups_per_head, picture = head / a.head_count;
            const int64_t end = std::min(piece.end, (head + 1) * groups_per_head);
            const int64_t first_group = picture * a.head_count * groups_per_head;
            go_to(picture);
            a.key_middles = middles + static_cast<size_t>(picture * a.head_count) * size;
            a.key_steps = steps + static_cast<size_t>(picture * a.head_count) * size;
            attend(task, a, operands[head], {i - first_group, end - first_group});
            i = end;
        }
    return true;
}

} // namespace sdcpu
