// Questions about tensors.
#pragma once

#include <cstring>

#include "ggml_abi.h"
#include "kernels/kernels.h"

namespace sdcpu {

inline int64_t element_count(const ggml_tensor *t) { return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3]; }

// The bytes of an element of f32, f16 and bf16; 0 for other types.
inline size_t element_size(const ggml_tensor *t) {
    if (t->type == type_f32) return 4;
    return t->type == type_f16 || t->type == type_bf16 ? 2 : 0;
}

inline bool is_f32(const ggml_tensor *t) { return t->type == type_f32; }

// Whether rows are what they seem: their elements lie side by side.
inline bool has_dense_rows(const ggml_tensor *t) { return element_size(t) != 0 && t->nb[0] == element_size(t); }

inline bool is_contiguous(const ggml_tensor *t) {
    if (!has_dense_rows(t)) return false;
    size_t expected = t->nb[0] * static_cast<size_t>(t->ne[0]);
    for (int i = 1; i < 4; i++) {
        if (t->ne[i] != 1 && t->nb[i] != expected) return false;
        expected *= static_cast<size_t>(t->ne[i]);
    }
    return true;
}

inline bool is_contiguous_f32(const ggml_tensor *t) { return is_f32(t) && is_contiguous(t); }

inline bool has_same_shape(const ggml_tensor *a, const ggml_tensor *b) {
    for (int i = 0; i < 4; i++)
        if (a->ne[i] != b->ne[i]) return false;
    return true;
}

// The address of element (0, i1, i2, i3), in bytes or as floats.
inline char *bytes_at(const ggml_tensor *t, int64_t i1, int64_t i2, int64_t i3) {
    return static_cast<char *>(t->data) + static_cast<size_t>(i1) * t->nb[1] + static_cast<size_t>(i2) * t->nb[2] +
           static_cast<size_t>(i3) * t->nb[3];
}
inline float *floats_at(const ggml_tensor *t, int64_t i1, int64_t i2, int64_t i3) {
    return reinterpret_cast<float *>(bytes_at(t, i1, i2, i3));
}
inline float *floats(const ggml_tensor *t) { return static_cast<float *>(t->data); }

// The number of rows, and where row r of them is.
struct RowPlace {
    int64_t i1, i2, i3;
};
inline int64_t row_count(const ggml_tensor *t) { return t->ne[1] * t->ne[2] * t->ne[3]; }
inline RowPlace row_place(const ggml_tensor *t, int64_t r) {
    return {r % t->ne[1], r / t->ne[1] % t->ne[2], r / (t->ne[1] * t->ne[2])};
}
inline float *row_at(const ggml_tensor *t, const RowPlace &p) { return floats_at(t, p.i1, p.i2, p.i3); }

// A float among the operation's parameters.
inline float float_parameter(const ggml_tensor *t, int i) {
    float value;
    std::memcpy(&value, &t->op_params[i], sizeof value);
    return value;
}

} // namespace sdcpu
