// A unit is what one multiply-add instruction takes per lane: 32 bits that hold one float, or, on
// processors that multiply bf16, two bf16 of consecutive k. Everything that is packed is packed in units.
#pragma once

#include "loaders.h"

namespace sdcpu::SDCPU_VARIANT {

using Unit = uint32_t;

#if defined(__AVX512BF16__) || defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#define SDCPU_BF16
constexpr int per_unit = 2;
#else
constexpr int per_unit = 1;
#endif

// One unit for all lanes. Arm's multiply-add takes it out of a register's first lane: a plain load of 4 bytes is
// enough, where a broadcast would take a turn of a multiplier.
#if defined(__aarch64__)
using Broadcast = float;
SDCPU_INLINE Broadcast fill_units(float bits) { return bits; }
#else
using Broadcast = Vector;
SDCPU_INLINE Broadcast fill_units(float bits) { return fill(bits); }
#endif
SDCPU_INLINE Broadcast broadcast(const Unit *unit) {
    float bits;
    std::memcpy(&bits, unit, 4);
    return fill_units(bits);
}

#if defined(__AVX512BF16__)

// Rounds both to bf16: the elements of `low`, then those of `high`.
SDCPU_INLINE Vector round_pair(Vector low, Vector high) {
    return reinterpret_cast<Vector>(_mm512_cvtne2ps_pbh(high, low));
}
// acc + a . b, unit by unit
SDCPU_INLINE Vector dot(Vector acc, Vector a, Vector b) {
    return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}
SDCPU_INLINE __m256 dot(__m256 acc, __m256 a, __m256 b) {
    return _mm256_dpbf16_ps(acc, reinterpret_cast<__m256bh>(a), reinterpret_cast<__m256bh>(b));
}
// Stores one unit per lane: even[lane] and odd[lane] are of an even k and of the k after it.
SDCPU_INLINE void store_lanes(Unit *out, Vector even, Vector odd) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const auto halves = reinterpret_cast<__m512i>(round_pair(even, odd));
    _mm512_storeu_si512(out, _mm512_permutexvar_epi16(order, halves));
}

#elif defined(SDCPU_BF16)

SDCPU_INLINE Vector round_pair(Vector low, Vector high) {
    return vreinterpretq_f32_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(low), high));
}
SDCPU_INLINE Vector dot(Vector acc, Broadcast a, Vector b) {
    return vbfdotq_lane_f32(acc, vreinterpretq_bf16_f32(b), vreinterpret_bf16_f32(vset_lane_f32(a, vdup_n_f32(0), 0)),
                            0);
}
SDCPU_INLINE void store_lanes(Unit *out, Vector even, Vector odd) {
    const uint16x8_t halves = vreinterpretq_u16_f32(round_pair(even, odd));
    store(out, vreinterpretq_f32_u16(vzip1q_u16(halves, vextq_u16(halves, halves, 4))));
}

#else

#if defined(__aarch64__)
SDCPU_INLINE Vector dot(Vector acc, Broadcast a, Vector b) { return vfmaq_n_f32(acc, b, a); }
#else
SDCPU_INLINE Vector dot(Vector acc, Broadcast a, Vector b) { return multiply_add(a, b, acc); }
#endif
#if defined(SDCPU_WHOLE_VECTORS)
SDCPU_INLINE __m256 dot(__m256 acc, __m256 a, __m256 b) { return _mm256_fmadd_ps(a, b, acc); }
#endif
SDCPU_INLINE void store_lanes(Unit *out, Vector only, Vector) { store(out, only); }
SDCPU_INLINE Vector round_pair(Vector only, Vector) { return only; }

#endif

// `width` units of one row, from element k on.
template <int type> SDCPU_INLINE Vector load_units(const char *row, int64_t k, int64_t n) {
    if constexpr (per_unit == 1) return load_values<type>(row, k, n);
    if constexpr (type == type_bf16) {
        if (n >= 2 * width) return load(reinterpret_cast<const uint16_t *>(row) + k);
    }
    return round_pair(load_values<type>(row, k, n), load_values<type>(row, k + width, n - width));
}

constexpr int units_step = width * per_unit; // elements of a row that one vector of units holds

} // namespace sdcpu::SDCPU_VARIANT
