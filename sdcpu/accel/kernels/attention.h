// Attention without the matrix of scores: six queries at a time walk over their keys in blocks and keep a large score,
// the sum and the weighted values so far (the "online" softmax).
//
// Packed once per head and thread, K = keys, rounded up to a multiple of key_block:
//   keys     as Scores has them: attention.cpp or attention_integer.cpp
//   values   [value vectors / tile_vectors][K units][vectors * width]    as panels for weight . value
// Per group of six queries:
//   scores   [6][key_block] floats     weights   [6][key_block] units     sums   [6][value vectors * width]
#pragma once

#include "attention_weights.h"
#include "product.h"

namespace sdcpu::SDCPU_VARIANT {

constexpr int key_block = 512;
constexpr float no_score = -1e30f; // instead of -infinity, whose difference to itself is not a number
// Weights are relative to the first large score, until one is 2^8 times as heavy: a new reference is seldom needed.
constexpr float most_above_reference = 8;

SDCPU_INLINE Vector load_element(int type, const char *row, int64_t k, int64_t n) {
    return type == type_f16 ? load_values<type_f16>(row, k, n) : load_values<type_f32>(row, k, n);
}

SDCPU_INLINE Rows keys_of(const Attention &a, int64_t head) {
    return {a.key_type, a.key + static_cast<size_t>(head / a.heads_per_key_head) * a.key_head_stride, a.key_stride};
}

SDCPU_INLINE Rows queries_of(const Attention &a, int64_t head) {
    return {type_f32, a.query + static_cast<size_t>(head) * a.query_head_stride, a.query_stride};
}

// The number of keys before the -infinity at the end of a mask's row, rounded up to a multiple of 4.
SDCPU_INLINE int64_t visible_keys(const uint16_t *mask, int64_t keys) {
    while (keys >= 4) {
        uint64_t four;
        std::memcpy(&four, mask + keys - 4, 8);
        if (four != 0xFC00FC00FC00FC00ull) break;
        keys -= 4;
    }
    return keys;
}

// How queries are multiplied with keys:
//   Scores(a, keys)                          keys: how many are packed; those from a.key_count on are 0
//   pack(head)
//   take(r, query)                           becomes query r of a group, scaled so that the weight of a key is 2^score
//   compute(count, key, scores, stride)      of `count` queries and panel_lanes keys from `key` on
template <class Scores> class Head {
  public:
    explicit Head(const Attention &a)
        : a(a), keys(round_up(a.key_count, key_block)), key_scores(a, keys),
          value_vectors(static_cast<int>(divide_up(a.value_size, width))),
          value_panels((value_vectors + tile_vectors - 1) / tile_vectors),
          sums_stride(static_cast<size_t>(value_vectors) * width) {
        const size_t value_units = sums_stride * static_cast<size_t>(keys / per_unit);
        packed_values = static_cast<Unit *>(thread_scratch(Scratch::values, (value_units + 64) * sizeof(Unit)));
        const size_t floats = tile_rows * (2 * scores_stride + sums_stride) + 64;
        scores = static_cast<float *>(thread_scratch(Scratch::scores, floats * sizeof(float)));
        weights = reinterpret_cast<Unit *>(scores + tile_rows * scores_stride);
        sums = reinterpret_cast<float *>(weights + tile_rows * scores_stride);
    }

    void pack(int64_t head) {
        this->head = head;
        key_scores.pack(head);
        const Rows key_rows = keys_of(a, head);
        has_finite_keys = true;
        for (int64_t k = 0; k < a.key_count; k++) has_finite_keys &= is_finite(key_rows.type, key_rows.row(k));
        const char *value_rows = a.value + static_cast<size_t>(head / a.heads_per_key_head) * a.value_head_stride;
        auto load_value = [&](int64_t key, int element) {
            if (key >= a.key_count) return zero();
            const char *row = value_rows + static_cast<size_t>(key) * a.value_stride;
            return load_element(a.value_type, row, element, at_most(a.value_size - element, width));
        };
        for (int panel = 0; panel < value_panels; panel++) {
            const int vectors = vectors_of(panel);
            Unit *place = value_panel(panel);
            for (int64_t unit = 0; unit < keys / per_unit; unit++, place += vectors * width)
                for (int j = 0; j < vectors; j++) {
                    const int64_t key = first_key_of(unit);
                    const int element = panel * panel_lanes + j * width;
                    store_lanes(place + j * width, load_value(key, element), load_value(key + 1, element));
                }
        }
    }

    // The queries [first, first + count) of the packed head, count <= tile_rows.
    void attend(int64_t first, int count) {
        float references[tile_rows];
        Vector weight_sums[tile_rows];
        bool are_finite[tile_rows]; // the query and all keys
        for (int r = 0; r < count; r++) {
            const char *query = queries_of(a, head).row(first + r);
            key_scores.take(r, reinterpret_cast<const float *>(query));
            references[r] = no_score;
            weight_sums[r] = zero();
            are_finite[r] = has_finite_keys && is_finite(type_f32, query);
        }
        std::memset(sums, 0, sizeof(float) * static_cast<size_t>(count) * sums_stride);

        const int64_t end = last_visible_key(first, count);
        for (int64_t key = 0; key < end; key += key_block) {
            const int keys_here = at_most(end - key, key_block);
            const int padded = static_cast<int>(round_up(keys_here, panel_lanes));
            for (int p = 0; p < padded; p += panel_lanes) key_scores.compute(count, key + p, scores + p, scores_stride);
            for (int r = 0; r < count; r++) {
                weigh_keys(r, mask_row(first + r), key, keys_here, padded, references[r], weight_sums[r]);
                if (!are_finite[r]) weight_sums[r] = weight_sums[r] + hidden_in_scores(r, keys_here, references[r]);
            }
            for (int panel = 0; panel < value_panels; panel++) add_values(panel, key, padded, count);
        }
        for (int r = 0; r < count; r++) {
            auto *out = reinterpret_cast<float *>(reinterpret_cast<char *>(a.out) +
                                                  static_cast<size_t>(head) * a.out_head_stride +
                                                  static_cast<size_t>(first + r) * a.out_query_stride);
            const float weight_sum = sum(weight_sums[r]);
            const Vector inverse = fill(weight_sum != 0 ? 1.f / weight_sum : 0.f);
            for (int64_t i = 0; i < a.value_size; i += width)
                store_first(out + i, load(sums + static_cast<size_t>(r) * sums_stride + i) * inverse, a.value_size - i);
        }
    }

  private:
    static constexpr size_t scores_stride = key_block + 16;
    static constexpr size_t weights_stride = key_block / per_unit + 16;

    int vectors_of(int panel) const { return at_most(value_vectors - panel * tile_vectors, tile_vectors); }
    Unit *value_panel(int panel) const {
        return packed_values + static_cast<size_t>(panel) * panel_lanes * static_cast<size_t>(keys / per_unit);
    }
    const uint16_t *mask_row(int64_t query) const {
        return a.mask ? reinterpret_cast<const uint16_t *>(a.mask + static_cast<size_t>(query) * a.mask_stride)
                      : nullptr;
    }

    bool is_finite(int type, const char *row) const {
        Vector zeros = zero(); // or not a number
        for (int64_t i = 0; i < a.head_size; i += width)
            zeros = multiply_add(load_element(type, row, i, a.head_size - i), zero(), zeros);
        return sum(zeros) == 0;
    }

    // Not a number where a score is none or infinite, which the weights may not show; otherwise 0.
    Vector hidden_in_scores(int r, int keys_here, float reference) const {
        const float *row = scores + static_cast<size_t>(r) * scores_stride;
        float hidden = reference * 0;
        for (int i = 0; i < keys_here; i++)
            if (row[i] != row[i]) hidden = row[i];
        return fill(hidden);
    }

    int64_t last_visible_key(int64_t first, int count) const {
        if (!a.mask) return a.key_count;
        int64_t most = 0;
        for (int r = 0; r < count; r++) {
            const int64_t visible = visible_keys(mask_row(first + r), a.key_count);
            if (visible > most) most = visible;
        }
        return most > 0 ? most : a.key_count;
    }

    // Turns the scores of one query into weights, relative to a large score so far.
    void weigh_keys(int r, const uint16_t *mask, int64_t key, int keys_here, int padded, float &reference,
                    Vector &weight_sum) {
        float *row = scores + static_cast<size_t>(r) * scores_stride;
        if (mask)
            for (int i = 0; i < keys_here; i += width) {
                const Vector added = load_16_bit(mask + key + i, keys_here - i, true) * fill(log2_e);
                store(row + i, load(row + i) + largest(added, fill(no_score)));
            }
        for (int i = keys_here; i < padded; i++) row[i] = no_score;
        Vector most[tile_vectors];
        for (Vector &part : most) part = fill(no_score);
        for (int i = 0; i < padded; i += panel_lanes)
#pragma GCC unroll 4
            for (int j = 0; j < tile_vectors; j++) most[j] = largest(most[j], load(row + i + j * width));
#pragma GCC unroll 4
        for (int j = 1; j < tile_vectors; j++) most[0] = largest(most[0], most[j]);
        const float largest_here = maximum(most[0]);
        if (largest_here > reference + most_above_reference) {
            const Vector shrink = fill(__builtin_exp2f(reference - largest_here));
            weight_sum = weight_sum * shrink;
            float *sum = sums + static_cast<size_t>(r) * sums_stride;
            for (size_t i = 0; i < sums_stride; i += width) store(sum + i, load(sum + i) * shrink);
            reference = largest_here;
        }
        weight_sum = weight_sum + weigh(row, padded, reference, weights + static_cast<size_t>(r) * weights_stride);
    }

    void add_values(int panel, int64_t key, int padded, int count) {
        const int vectors = vectors_of(panel);
        const Unit *values =
            value_panel(panel) + static_cast<size_t>(key / per_unit) * static_cast<size_t>(vectors) * width;
#if defined(SDCPU_WHOLE_VECTORS)
        if (a.value_size - panel * panel_lanes - (vectors - 1) * width <= 8) { // head size 40: half a vector is left
            multiply_narrow_tile(count, vectors - 1, padded / per_unit, values, weights, weights_stride,
                                 sums + panel * panel_lanes, sums_stride);
            return;
        }
#endif
        multiply_tile(count, vectors, padded / per_unit, values, weights, weights_stride, sums + panel * panel_lanes,
                      sums_stride, vectors * width, accumulate);
    }

    const Attention &a;
    int64_t keys;
    Scores key_scores;
    int value_vectors, value_panels;
    size_t sums_stride;
    int64_t head = -1;
    bool has_finite_keys = false;
    Unit *packed_values, *weights;
    float *scores, *sums;
};

// Groups of tile_rows queries, head after head.
template <class Scores> void attend_with(const Attention &a, Range query_groups) {
    const int64_t groups = divide_up(a.query_count, tile_rows);
    Head<Scores> head(a);
    int64_t packed_head = -1;
    for (int64_t group = query_groups.begin; group < query_groups.end; group++) {
        if (group / groups != packed_head) {
            packed_head = group / groups;
            head.pack(packed_head);
        }
        const int64_t first = group % groups * tile_rows;
        head.attend(first, at_most(a.query_count - first, tile_rows));
    }
}

} // namespace sdcpu::SDCPU_VARIANT
