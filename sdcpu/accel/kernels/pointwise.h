// The kernels of pointwise.cpp and normalise.cpp; kernels.h says what each does.
#pragma once

#include "loaders.h"

namespace sdcpu::SDCPU_VARIANT {

void silu_all(float *out, const float *in, int64_t count);
void leaky_relu_all(float *out, const float *in, int64_t count, float negative_slope);
void gelu_all(float *out, const float *in, int64_t count);
void gelu_quick_all(float *out, const float *in, int64_t count);
void multiply_gelu(float *out, const float *in, const float *gate, int64_t count);
void add(float *out, const float *a, const float *b, int64_t count);
void add_number(float *out, const float *a, float b, int64_t count);
void multiply_all(float *out, const float *a, const float *b, int64_t count);
void multiply_number(float *out, const float *a, float b, int64_t count);
void affine(float *out, const float *in, int64_t count, float scale, float shift, bool then_silu);
void to_half(uint16_t *out, const float *in, int64_t count);
void to_float(float *out, const char *row, int type, int64_t begin, int64_t end);
void transpose_all(float *out, size_t out_stride, const float *in, size_t in_stride, int64_t columns, int64_t rows);

void moments(const float *in, int64_t count, double *mean, double *variance);
void layer_norm(float *out, const float *in, int64_t count, float epsilon, const float *scale, const float *shift);
void rms_norm(float *out, const float *in, int64_t count, float epsilon, const float *scale);
void softmax(float *out, const float *in, int64_t count, float scale);

} // namespace sdcpu::SDCPU_VARIANT
