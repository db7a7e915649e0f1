// What softmax makes of scores: weights 2^(score - reference), as units for the product with the values, and vectors
// whose elements together are their sum.
#pragma once

#include "units.h"

namespace sdcpu::SDCPU_VARIANT {

#if defined(__AVX512BF16__)

// The bits of a bf16 are a number of steps of 1/128 on a scale that is almost that of the logarithm to base 2: between
// two powers of 2, 2^x lies up to 11 steps below the line. So the bits of a weight are its score in 128ths, less what
// this table says: off by 0.23 % (root of the mean square), of which rounding to bf16 alone makes 0.16 %.
struct StepsBelowLine {
    alignas(64) int16_t of_two_steps[64] = {};

    constexpr StepsBelowLine() {
        double power = 1.0013547198921082; // 2^(1/512): in the middle of the two steps 0 and 1
        for (int i = 0; i < 64; i++, power *= 1.0108892860517005)
            of_two_steps[i] = static_cast<int16_t>(2 * i + 0.5 - 128 * (power - 1) + 0.5);
    }
};
constexpr StepsBelowLine steps_below_line;
constexpr float steps = 128, bits_of_1 = 127 * steps;

// The instruction that narrows 16 + 16 scores takes four of each in turn: where the pair of keys of a unit begins.
SDCPU_INLINE int64_t first_key_of(int64_t unit) {
    const int64_t four = unit % width / 4, pair = unit % 4;
    return (unit - unit % width) * 2 + 4 * four + 2 * (pair % 2) + 16 * (pair / 2);
}

// Of `count` scores, a multiple of 4 vectors. A score that is not a number weighs nothing.
SDCPU_INLINE Vector weigh(const float *scores, int count, float reference, Unit *weights) {
    const Vector ones = round_pair(fill(1.f), fill(1.f)), start = fill(bits_of_1 - steps * reference);
    const __m512i low_table = _mm512_load_si512(steps_below_line.of_two_steps);
    const __m512i high_table = _mm512_load_si512(steps_below_line.of_two_steps + 32);
    const auto weigh_two = [&](const float *from, Unit *to, Vector total) {
        const __m512i low = _mm512_cvtps_epi32(multiply_add(load(from), fill(steps), start));
        const __m512i high = _mm512_cvtps_epi32(multiply_add(load(from + width), fill(steps), start));
        const __m512i line = _mm512_max_epi16(_mm512_packs_epi32(low, high), _mm512_setzero_si512());
        const __m512i below = _mm512_permutex2var_epi16(low_table, _mm512_srli_epi16(line, 1), high_table);
        const auto bits = reinterpret_cast<Vector>(_mm512_sub_epi16(line, below));
        store(to, bits);
        return dot(total, bits, ones);
    };
    Vector even = zero(), odd = zero(); // two sums: an addition waits for the one before it
    for (int i = 0; i < count; i += 4 * width) {
        even = weigh_two(scores + i, weights + i / 2, even);
        odd = weigh_two(scores + i + 2 * width, weights + i / 2 + width, odd);
    }
    return even + odd;
}

#else

SDCPU_INLINE int64_t first_key_of(int64_t unit) { return unit * per_unit; }

// 2^x for weights that are rounded to bf16 anyway: about 1e-4 relative there, exact elsewhere.
SDCPU_INLINE Vector weight_exp2(Vector x) {
#if defined(SDCPU_BF16)
    const Vector part = part_above_floor(x);
    Vector p = fill(7.790716377e-02f);
    p = multiply_add(p, part, fill(2.262331942e-01f));
    p = multiply_add(p, part, fill(6.957770964e-01f));
    p = multiply_add(p, part, fill(9.999278266e-01f));
    return times_power_of_2(p, x); // which takes the floor of x
#else
    return exp2(x);
#endif
}

// Of `count` scores, a multiple of units_step.
SDCPU_INLINE Vector weigh(const float *scores, int count, float reference, Unit *weights) {
    Vector total = zero();
    for (int i = 0; i < count; i += units_step) {
        const Vector low = weight_exp2(load(scores + i) - fill(reference));
        if constexpr (per_unit == 2) {
            const Vector high = weight_exp2(load(scores + i + width) - fill(reference));
            total = total + (low + high);
            store(weights + i / per_unit, round_pair(low, high));
        } else {
            total = total + low;
            store(weights + i, low);
        }
    }
    return total;
}

#endif

} // namespace sdcpu::SDCPU_VARIANT
