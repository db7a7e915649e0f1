// Normalisation of rows: sums for the group norm, layer norm, RMS norm, softmax.
#include "pointwise.h"

namespace sdcpu::SDCPU_VARIANT {

// Sums in floats over 4096 values at most, then in doubles: a group has up to 10^7 values.
void sums(const float *in, int64_t count, double *total, double *total_of_squares) {
    *total = *total_of_squares = 0;
    for (int64_t begin = 0; begin < count; begin += 4096) {
        const int64_t end = lesser(begin + 4096, count);
        Vector sum0 = zero(), sum1 = zero(), squares0 = zero(), squares1 = zero();
        int64_t i = begin;
        for (; i + 2 * width <= end; i += 2 * width) {
            const Vector a = load(in + i), b = load(in + i + width);
            sum0 = sum0 + a;
            sum1 = sum1 + b;
            squares0 = multiply_add(a, a, squares0);
            squares1 = multiply_add(b, b, squares1);
        }
        for (; i < end; i += width) {
            const Vector a = load_first(in + i, end - i);
            sum0 = sum0 + a;
            squares0 = multiply_add(a, a, squares0);
        }
        *total += sum(sum0 + sum1);
        *total_of_squares += sum(squares0 + squares1);
    }
}

void layer_norm(float *out, const float *in, int64_t count, float epsilon, const float *scale, const float *shift) {
    Vector total = zero();
    for (int64_t i = 0; i < count; i += width) total = total + load_first(in + i, count - i);
    const float mean_value = sum(total) / static_cast<float>(count);
    const Vector mean = fill(mean_value);

    Vector squares = zero();
    int64_t i = 0;
    for (; i + width <= count; i += width) {
        const Vector difference = load(in + i) - mean;
        squares = multiply_add(difference, difference, squares);
    }
    float rest = 0; // elements after the last whole vector
    for (; i < count; i++) {
        const float difference = in[i] - mean_value;
        rest += difference * difference;
    }
    const float variance = (sum(squares) + rest) / static_cast<float>(count);
    const Vector factor = fill(1.f / __builtin_sqrtf(variance + epsilon));
    for (i = 0; i < count; i += width) {
        const int64_t n = count - i;
        Vector x = (load_first(in + i, n) - mean) * factor;
        if (scale && shift) x = multiply_add(x, load_first(scale + i, n), load_first(shift + i, n));
        store_first(out + i, x, n);
    }
}

void rms_norm(float *out, const float *in, int64_t count, float epsilon, const float *scale) {
    double total, squares;
    sums(in, count, &total, &squares);
    const auto mean_square = static_cast<float>(squares / static_cast<double>(count));
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
