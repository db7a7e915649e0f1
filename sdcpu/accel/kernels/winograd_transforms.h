// Winograd's transforms F(m x m, 3 x 3), one dimension at a time, m = 2 or 4.
//
// With n = m + 2 input pixels d and kernel g, m outputs are A^T [ (G g) * (B^T d) ], element by element: polynomials
// are multiplied by their values at n points, the last of which is infinity (Toom and Cook's method). The points are
//   m = 2    0, 1, -1
//   m = 4    0, a, -a, b, -b     a = sqrt(1/2), b = sqrt(2)
// for m = 4 not 1 and 2, as is usual: with these the error is half as large, because a b = 1 keeps the factors near 1.
// In bf16 the error is three times that of m = 2 on noise and the same on smooth pictures.
#pragma once

#include "vector.h"

namespace sdcpu::SDCPU_VARIANT {

constexpr float point_a = 0.70710678f, point_b = 1.41421356f;

// B^T d: from[i * from_step] to to[i * to_step], i < n
template <int m, int from_step, int to_step> SDCPU_INLINE void transform_pixels(const Vector *from, Vector *to) {
    const auto d = [=](int i) { return from[i * from_step]; };
    if constexpr (m == 2) {
        to[0] = d(0) - d(2);
        to[to_step] = d(1) + d(2);
        to[2 * to_step] = d(2) - d(1);
        to[3 * to_step] = d(1) - d(3);
    } else {
        const Vector middle = fill(-2.5f), two = fill(-2.f), half = fill(-.5f);
        const Vector even_a = multiply_add(d(2), two, d(4)), odd_a = multiply_add(d(1), two, d(3)) * fill(point_a);
        const Vector even_b = multiply_add(d(2), half, d(4)), odd_b = multiply_add(d(1), half, d(3)) * fill(point_b);
        to[0] = multiply_add(d(2), middle, d(0) + d(4));
        to[to_step] = even_a + odd_a;
        to[2 * to_step] = even_a - odd_a;
        to[3 * to_step] = even_b + odd_b;
        to[4 * to_step] = even_b - odd_b;
        to[5 * to_step] = multiply_add(d(3), middle, d(1) + d(5));
    }
}

// G g: three values to n
template <int m, int from_step, int to_step> SDCPU_INLINE void transform_kernel_line(const Vector *from, Vector *to) {
    const Vector g0 = from[0], g1 = from[from_step], g2 = from[2 * from_step];
    if constexpr (m == 2) {
        const Vector outer = (g0 + g2) * fill(.5f), middle = g1 * fill(.5f);
        to[to_step] = outer + middle;
        to[2 * to_step] = outer - middle;
    } else {
        const Vector outer_a = multiply_add(g2, fill(.5f), g0) * fill(-2.f / 3);
        const Vector middle_a = g1 * fill(-2.f / 3 * point_a);
        const Vector outer_b = multiply_add(g2, fill(2.f), g0) * fill(1.f / 6), middle_b = g1 * fill(point_b / 6);
        to[to_step] = outer_a + middle_a;
        to[2 * to_step] = outer_a - middle_a;
        to[3 * to_step] = outer_b + middle_b;
        to[4 * to_step] = outer_b - middle_b;
    }
    to[0] = g0;
    to[(m + 1) * to_step] = g2;
}

// A^T p: n products to m outputs
template <int m, int from_step, int to_step> SDCPU_INLINE void transform_products(const Vector *from, Vector *to) {
    const auto p = [=](int i) { return from[i * from_step]; };
    if constexpr (m == 2) {
        to[0] = p(0) + p(1) + p(2);
        to[to_step] = p(1) - p(2) - p(3);
    } else {
        const Vector sum_a = p(1) + p(2), sum_b = p(3) + p(4);
        const Vector odd_a = (p(1) - p(2)) * fill(point_a), odd_b = (p(3) - p(4)) * fill(point_b);
        to[0] = p(0) + sum_a + sum_b;
        to[to_step] = odd_a + odd_b;
        to[2 * to_step] = multiply_add(sum_b, fill(2.f), sum_a * fill(.5f));
        to[3 * to_step] = multiply_add(odd_b, fill(2.f), multiply_add(odd_a, fill(.5f), p(5)));
    }
}

// G g G^T of a 3x3 kernel: n x n
template <int m> SDCPU_INLINE void transform_kernel(const Vector *g, Vector *u) {
    constexpr int n = m + 2;
    Vector lines[n * 3];
#pragma GCC unroll 3
    for (int x = 0; x < 3; x++) transform_kernel_line<m, 3, 3>(g + x, lines + x);
#pragma GCC unroll 6
    for (int y = 0; y < n; y++) transform_kernel_line<m, 1, 1>(lines + 3 * y, u + n * y);
}

} // namespace sdcpu::SDCPU_VARIANT
