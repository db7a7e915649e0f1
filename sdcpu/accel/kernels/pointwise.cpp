// Operations that treat each element alone: activations, sums, conversions, transposition.
#include "pointwise.h"

namespace sdcpu::SDCPU_VARIANT {

namespace {

// Calls operation(i, n) for each vector of elements [i, i + n).
template <class Operation> SDCPU_INLINE void for_vectors(int64_t count, const Operation &operation) {
    int64_t i = 0;
    for (; i + width <= count; i += width) operation(i, static_cast<int64_t>(width));
    if (i < count) operation(i, count - i);
}

} // namespace

void silu_all(float *out, const float *in, int64_t count) {
    for_vectors(count, [=](int64_t i, int64_t n) { store_first(out + i, silu(load_first(in + i, n)), n); });
}

void leaky_relu_all(float *out, const float *in, int64_t count, float negative_slope) {
    for_vectors(count, [=](int64_t i, int64_t n) {
        store_first(out + i, leaky_relu(load_first(in + i, n), negative_slope), n);
    });
}

void gelu_all(float *out, const float *in, int64_t count) {
    for_vectors(count, [=](int64_t i, int64_t n) { store_first(out + i, gelu(load_first(in + i, n)), n); });
}

void gelu_quick_all(float *out, const float *in, int64_t count) {
    for_vectors(count, [=](int64_t i, int64_t n) { store_first(out + i, swish(load_first(in + i, n), 1.702f), n); });
}

void multiply_gelu(float *out, const float *in, const float *gate, int64_t count) {
    for_vectors(count, [=](int64_t i, int64_t n) {
        store_first(out + i, load_first(in + i, n) * gelu(load_first(gate + i, n)), n);
    });
}

void add(float *out, const float *a, const float *b, int64_t count) {
    for_vectors(count,
                [=](int64_t i, int64_t n) { store_first(out + i, load_first(a + i, n) + load_first(b + i, n), n); });
}

void add_number(float *out, const float *a, float b, int64_t count) {
    const Vector number = fill(b);
    for_vectors(count, [=](int64_t i, int64_t n) { store_first(out + i, load_first(a + i, n) + number, n); });
}

void multiply_all(float *out, const float *a, const float *b, int64_t count) {
    for_vectors(count,
                [=](int64_t i, int64_t n) { store_first(out + i, load_first(a + i, n) * load_first(b + i, n), n); });
}

void multiply_number(float *out, const float *a, float b, int64_t count) {
    const Vector number = fill(b);
    for_vectors(count, [=](int64_t i, int64_t n) { store_first(out + i, load_first(a + i, n) * number, n); });
}

void affine(float *out, const float *in, int64_t count, float scale, float shift, bool then_silu) {
    const Vector a = fill(scale), b = fill(shift);
    if (then_silu)
        for_vectors(count, [=](int64_t i, int64_t n) {
            store_first(out + i, silu(multiply_add(load_first(in + i, n), a, b)), n);
        });
    else
        for_vectors(count,
                    [=](int64_t i, int64_t n) { store_first(out + i, multiply_add(load_first(in + i, n), a, b), n); });
}

void to_half(uint16_t *out, const float *in, int64_t count) {
    int64_t i = 0;
    for (; i + width <= count; i += width) store_half(out + i, load(in + i));
    for (; i < count; i++) out[i] = float_to_half(in[i]);
}

void to_float(float *out, const char *row, int type, int64_t begin, int64_t end) {
    visit_type(type, [&](auto tag) {
        for (int64_t k = begin; k < end; k += width)
            store_first(out + k - begin, load_values<decltype(tag)::type>(row, k, end - k), end - k);
    });
}

void transpose_all(float *out, size_t out_stride, const float *in, size_t in_stride, int64_t columns, int64_t rows) {
    for (int64_t x = 0; x < columns; x += width)
        for (int64_t y = 0; y < rows; y += width) {
            const int64_t columns_here = columns - x, rows_here = rows - y;
            Vector block[width];
#pragma GCC unroll 16
            for (int i = 0; i < width; i++)
                block[i] =
                    i < rows_here ? load_first(in + static_cast<size_t>(y + i) * in_stride + x, columns_here) : zero();
            transpose(block);
#pragma GCC unroll 16
            for (int i = 0; i < width; i++)
                if (i < columns_here)
                    store_first(out + static_cast<size_t>(x + i) * out_stride + y, block[i], rows_here);
        }
}

} // namespace sdcpu::SDCPU_VARIANT
