// Four floats: Advanced SIMD, which every 64-bit Arm processor has. Included by vector.h only; the comments are in
// vector_avx512.h.
#pragma once

#include <arm_neon.h>

namespace sdcpu::SDCPU_VARIANT {

using Vector = float32x4_t;
using Integers = int32x4_t;
constexpr int width = 4;

SDCPU_INLINE Vector zero() { return vdupq_n_f32(0.f); }
SDCPU_INLINE Vector fill(float x) { return vdupq_n_f32(x); }
SDCPU_INLINE Vector load(const void *p) { // memory may hold units: copied, so that its type does not matter
    Vector v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
SDCPU_INLINE void store(void *p, Vector v) { std::memcpy(p, &v, sizeof v); }

SDCPU_INLINE Vector load_first(const float *p, int64_t n) {
    if (n >= 4) return load(p);
    Vector v = zero();
    if (n > 0) v = vsetq_lane_f32(p[0], v, 0);
    if (n > 1) v = vsetq_lane_f32(p[1], v, 1);
    if (n > 2) v = vsetq_lane_f32(p[2], v, 2);
    return v;
}
SDCPU_INLINE void store_first(float *p, Vector v, int64_t n) {
    if (n >= 4) return store(p, v);
    if (n > 0) p[0] = vgetq_lane_f32(v, 0);
    if (n > 1) p[1] = vgetq_lane_f32(v, 1);
    if (n > 2) p[2] = vgetq_lane_f32(v, 2);
}
SDCPU_INLINE Vector load_bits(const float *p, uint32_t bits) {
    if (bits == 0xf) return load(p);
    Vector v = zero();
    if (bits & 1) v = vsetq_lane_f32(p[0], v, 0);
    if (bits & 2) v = vsetq_lane_f32(p[1], v, 1);
    if (bits & 4) v = vsetq_lane_f32(p[2], v, 2);
    if (bits & 8) v = vsetq_lane_f32(p[3], v, 3);
    return v;
}
SDCPU_INLINE void store_bits(float *p, Vector v, uint32_t bits) {
    if (bits == 0xf) return store(p, v);
    if (bits & 1) p[0] = vgetq_lane_f32(v, 0);
    if (bits & 2) p[1] = vgetq_lane_f32(v, 1);
    if (bits & 4) p[2] = vgetq_lane_f32(v, 2);
    if (bits & 8) p[3] = vgetq_lane_f32(v, 3);
}
SDCPU_INLINE Vector gather_bits(const float *p, const int *indices, uint32_t bits) {
    Vector v = zero();
    if (bits & 1) v = vsetq_lane_f32(p[indices[0]], v, 0);
    if (bits & 2) v = vsetq_lane_f32(p[indices[1]], v, 1);
    if (bits & 4) v = vsetq_lane_f32(p[indices[2]], v, 2);
    if (bits & 8) v = vsetq_lane_f32(p[indices[3]], v, 3);
    return v;
}

SDCPU_INLINE Vector multiply_add(Vector a, Vector b, Vector c) { return vfmaq_f32(c, a, b); }
SDCPU_INLINE Vector largest(Vector a, Vector b) { return vmaxq_f32(a, b); }
SDCPU_INLINE Vector smallest(Vector a, Vector b) { return vminq_f32(a, b); }
SDCPU_INLINE Vector absolute(Vector a) { return vabsq_f32(a); }
SDCPU_INLINE Vector round_even(Vector a) { return vrndnq_f32(a); }
SDCPU_INLINE Vector part_above_floor(Vector a) { return a - vrndmq_f32(a); }
SDCPU_INLINE Vector times_power_of_2(Vector p, Vector n) {
    n = vmaxq_f32(n, fill(-127.f)); // the exponent 0, which makes the result 0
    const int32x4_t exponent = vaddq_s32(vcvtmq_s32_f32(n), vdupq_n_s32(127));
    return p * vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23));
}
SDCPU_INLINE float sum(Vector v) { return vaddvq_f32(v); }
SDCPU_INLINE float maximum(Vector v) { return vmaxvq_f32(v); }

SDCPU_INLINE float half_to_float(uint16_t half) {
    return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half))), 0);
}
SDCPU_INLINE uint16_t float_to_half(float x) { return vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(fill(x))), 0); }
SDCPU_INLINE Vector from_half(const uint16_t *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
SDCPU_INLINE void store_half(uint16_t *p, Vector v) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v))); }
SDCPU_INLINE Vector from_bfloat(const uint16_t *p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }

SDCPU_INLINE Integers load_bytes(const uint8_t *p) {
    uint32_t four;
    std::memcpy(&four, p, 4);
    const uint16x8_t wide = vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)));
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(wide)));
}
SDCPU_INLINE Integers load_signed_bytes(const int8_t *p) {
    uint32_t four;
    std::memcpy(&four, p, 4);
    return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(four)))));
}
SDCPU_INLINE Integers shift_right(Integers v, int bits) { return vshlq_s32(v, vdupq_n_s32(-bits)); } // v >= 0
SDCPU_INLINE Integers shift_left(Integers v, int bits) { return vshlq_s32(v, vdupq_n_s32(bits)); }
SDCPU_INLINE Integers keep_bits(Integers v, int mask) { return vandq_s32(v, vdupq_n_s32(mask)); }
SDCPU_INLINE Integers combine(Integers a, Integers b) { return vorrq_s32(a, b); }
SDCPU_INLINE Vector to_floats(Integers v) { return vcvtq_f32_s32(v); }
SDCPU_INLINE Vector where_bits(uint32_t bits, float x) {
    static const uint32_t bit_of_lane[4] = {1, 2, 4, 8};
    const uint32x4_t is_set = vtstq_u32(vdupq_n_u32(bits), vld1q_u32(bit_of_lane));
    return vreinterpretq_f32_u32(vandq_u32(is_set, vreinterpretq_u32_f32(fill(x))));
}

SDCPU_INLINE Vector even_elements(Vector a, Vector b) { return vuzp1q_f32(a, b); }
SDCPU_INLINE Vector odd_elements(Vector a, Vector b) { return vuzp2q_f32(a, b); }
SDCPU_INLINE void interleave(Vector even, Vector odd, Vector &low, Vector &high) {
    low = vzip1q_f32(even, odd);
    high = vzip2q_f32(even, odd);
}
SDCPU_INLINE Vector every_ninth(const float *p) {
    static const int places[4] = {0, 9, 18, 27};
    return gather_bits(p, places, 0xf);
}

// Transposes 4 rows of 4 elements.
SDCPU_INLINE void transpose(Vector *r) {
    const float64x2_t low01 = vreinterpretq_f64_f32(vzip1q_f32(r[0], r[1]));
    const float64x2_t high01 = vreinterpretq_f64_f32(vzip2q_f32(r[0], r[1]));
    const float64x2_t low23 = vreinterpretq_f64_f32(vzip1q_f32(r[2], r[3]));
    const float64x2_t high23 = vreinterpretq_f64_f32(vzip2q_f32(r[2], r[3]));
    r[0] = vreinterpretq_f32_f64(vzip1q_f64(low01, low23));
    r[1] = vreinterpretq_f32_f64(vzip2q_f64(low01, low23));
    r[2] = vreinterpretq_f32_f64(vzip1q_f64(high01, high23));
    r[3] = vreinterpretq_f32_f64(vzip2q_f64(high01, high23));
}

} // namespace sdcpu::SDCPU_VARIANT
