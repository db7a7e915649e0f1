// Normalisation: mean and variance for the group norm; layer norm, RMS norm and softmax of rows.
#include "pointwise.h"

namespace sdcpu::SDCPU_VARIANT {

namespace {

float sum_of(const float *in, int64_t count) {
    Vector sum0 = zero(), sum1 = zero();
    int64_t i = 0;
    for (; i + 2 * width <= count; i += 2 * width) {
        sum0 = sum0 + load(in + i);
        sum1 = sum1 + load(in + i + width);
    }
    for (; i < count; i += width) sum0 = sum0 + load_first(in + i, count - i);
    return sum(sum0 + sum1);
}

// Sum of (in - mean)^2.
float squared_differences(const float *in, int64_t count, float mean) {
    const Vector means = fill(mean);
    Vector sum0 = zero(), sum1 = zero();
    int64_t i = 0;
    for (; i + 2 * width <= count; i += 2 * width) {
        const Vector a = load(in + i) - means, b = load(in + i + width) - means;
        sum0 = multiply_add(a, a, sum0);
        sum1 = multiply_add(b, b, sum1);
    }
    float rest = 0;
    for (; i < count; i++) rest += (in[i] - mean) * (in[i] - mean);
    return sum(sum0 + sum1) + rest;
}

} // namespace

// A group has up to 10^7 values, and its mean may be far larger than their spread: blocks of 4096, which the
// first-level cache holds for a second pass, are joined in double precision (Chan, Golub and LeVeque's formula).
void moments(const float *in, int64_t count, double *mean, double *variance) {
    double joined_mean = 0, joined_differences = 0;
    for (int64_t begin = 0; begin < count; begin += 4096) {
        const int64_t here = lesser(4096, count - begin);
        const float block_mean = sum_of(in + begin, here) / static_cast<float>(here);
        const double distance = static_cast<double>(block_mean) - joined_mean;
        const double part = static_cast<double>(here) / static_cast<double>(begin + here);
        joined_mean += distance * part;
        joined_differences += static_cast<double>(squared_differences(in + begin, here, block_mean)) +
                              distance * distance * static_cast<double>(begin) * part;
    }
    *mean = joined_mean;
    *variance = joined_differences / static_cast<double>(count);
}

void layer_norm(float *out, const float *in, int64_t count, float epsilon, const float *scale, const float *shift) {
    const float mean_value = sum_of(in, count) / static_cast<float>(count);
    const float variance = squared_differences(in, count, mean_value) / static_cast<float>(count);
    const Vector mean = fill(mean_value);
    const Vector factor = fill(1.f / __builtin_sqrtf(variance + epsilon));
    for (int64_t i = 0; i < count; i += width) {
        const int64_t n = count - i;
        Vector x = (load_first(in + i, n) - mean) * factor;
        if (scale && shift) x = multiply_add(x, load_first(scale + i, n), load_first(shift + i, n));
        store_first(out + i, x, n);
    }
}

void rms_norm(float *out, const float *in, int64_t count, float epsilon, const float *scale) {
    const float mean_square = squared_differences(in, count, 0) / static_cast<float>(count);
    const Vector factor = fill(1.f / __builtin_sqrtf(mean_square + epsilon));
    for (int64_t i = 0; i < count; i += width) {
        const int64_t n = count - i;
        Vector x = load_first(in + i, n) * factor;
        if (scale) x = x * load_first(scale + i, n);
        store_first(out + i, x, n);
    }
}

// scale > 0
void softmax(float *out, const float *in, int64_t count, float scale) {
    Vector most = fill(-__builtin_inff());
    int64_t i = 0;
    for (; i + width <= count; i += width) most = largest(most, load(in + i));
    float largest_value = maximum(most);
    for (; i < count; i++)
        if (in[i] > largest_value) largest_value = in[i];

    const Vector factor = fill(scale * log2_e), offset = fill(-largest_value * scale * log2_e);
    Vector total = zero();
    for (i = 0; i + width <= count; i += width) {
        const Vector weight = exp2(multiply_add(load(in + i), factor, offset));
        total = total + weight;
        store(out + i, weight);
    }
    float rest = 0;
    if (i < count) {
        store_first(out + i, exp2(multiply_add(load_first(in + i, count - i), factor, offset)), count - i);
        for (int64_t last = i; last < count; last++) rest += out[last];
    }
    const Vector inverse = fill(1.f / (sum(total) + rest));
    for (i = 0; i < count; i += width) store_first(out + i, load_first(out + i, count - i) * inverse, count - i);
}

} // namespace sdcpu::SDCPU_VARIANT
