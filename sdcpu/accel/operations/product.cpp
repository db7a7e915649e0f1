// Matrix products: result[n][m] = sum over k of weights[m][k] * inputs[n][k], for each of up to two batch dimensions.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "../tensors.h"
#include "grid.h"
#include "operations.h"

namespace sdcpu {

namespace {

// The bytes of a block of the quantised types that the kernels read; 0 for others.
size_t block_size(int type) {
    switch (type) {
    case type_q4_0: return 18;
    case type_q4_1: return 20;
    case type_q5_0: return 22;
    case type_q5_1: return 24;
    case type_q8_0: return 34;
    case type_q4_k: return 144;
    case type_q5_k: return 176;
    case type_q6_k: return 210;
    default: return 0;
    }
}

// Of fewer rows than this, each weight is used too seldom: the engine's own product is as good.
constexpr int64_t least_rows = 4;
constexpr int64_t least_integer_rows = 8;

// All products of one operation, which have one shape.
struct Batch {
    Product shape;        // without the pointers
    int64_t inner, outer; // how many along dimension 2 and 3

    explicit Batch(const Task &task) : inner(0), outer(0) {
        const ggml_tensor *t = task.result, *weights = t->src[0], *inputs = t->src[1];
        shape = {};
        shape.lanes = {weights->type, nullptr, weights->nb[1]};
        shape.rows = {inputs->type, nullptr, inputs->nb[1]};
        shape.lane_count = weights->ne[1];
        shape.row_count = inputs->ne[1];
        shape.depth = weights->ne[0];
        shape.out_stride = shape.residual_stride = t->nb[1] / sizeof(float);
        if (task.fusion.bias) shape.lane_bias = floats(task.fusion.bias);
        if (task.fusion.sum) shape.factor = task.fusion.factor;
        inner = inputs->ne[2];
        outer = inputs->ne[3];
        if (weights->ne[2] == 1 && weights->ne[3] == 1 && follow_each_other(inputs) && follow_each_other(t)) {
            shape.row_count *= inner * outer; // the same weights for all: one product with more rows
            inner = outer = 1;
        }
    }

    Product at(const Task &task, int64_t i) const {
        const ggml_tensor *t = task.result, *weights = t->src[0], *inputs = t->src[1];
        const int64_t i2 = i % inner, i3 = i / inner;
        Product product = shape;
        // One matrix of weights may serve several of the inputs.
        product.lanes.data =
            bytes_at(weights, 0, i2 / (inputs->ne[2] / weights->ne[2]), i3 / (inputs->ne[3] / weights->ne[3]));
        product.rows.data = bytes_at(inputs, 0, i2, i3);
        product.out = task.out(floats_at(t, 0, i2, i3));
        if (task.fusion.sum) product.residual = product.out;
        if (task.fusion.residual) // contiguous, as t is: the same place
            product.residual = floats(task.fusion.residual) + (product.out - floats(t));
        return product;
    }

  private:
    static bool follow_each_other(const ggml_tensor *t) {
        return t->nb[2] == t->nb[1] * static_cast<size_t>(t->ne[1]) &&
               (t->ne[3] == 1 || t->nb[3] == t->nb[2] * static_cast<size_t>(t->ne[2]));
    }
};

// How much quantising the activations adds to the results: the length of the error as a part of theirs, estimated.
// The error of an activation is spread evenly over a step of 1/127 of the largest one of its block of 32. A channel
// that is far larger than those beside it, and has weights that are as much smaller, leaves the others few steps.
float quantisation_error(const Kernels &kernels, const Product &product) {
    constexpr int block = 32;
    constexpr int64_t most_samples = 8; // of lanes and of rows, evenly spread: enough to see a channel that is large
    const int64_t lanes = std::min(product.lane_count, most_samples), rows = std::min(product.row_count, most_samples);
    double error = 0, result = 0;
    for (int64_t k = 0; k < product.depth; k += block) {
        float weight_squares[block] = {}, input_squares[block] = {}, weights[block];
        float step_squares = 0, all_weights = 0;
        for (int64_t i = 0; i < lanes; i++) {
            const char *lane = product.lanes.row(i * product.lane_count / lanes);
            kernels.to_float(weights, lane, product.lanes.type, k, k + block);
            for (int j = 0; j < block; j++) weight_squares[j] += weights[j] * weights[j];
        }
        for (int64_t i = 0; i < rows; i++) {
            const auto *inputs = reinterpret_cast<const float *>(product.rows.row(i * product.row_count / rows)) + k;
            float largest = 0;
            for (int j = 0; j < block; j++) {
                largest = std::max(largest, std::fabs(inputs[j]));
                input_squares[j] += inputs[j] * inputs[j];
            }
            step_squares += largest * largest / (127.f * 127.f);
        }
        for (int j = 0; j < block; j++) {
            all_weights += weight_squares[j];
            result += static_cast<double>(weight_squares[j]) * static_cast<double>(input_squares[j]);
        }
        error += static_cast<double>(step_squares) * static_cast<double>(all_weights) / 12;
    }
    return static_cast<float>(std::sqrt(error / result));
}

// Values without outliers have 0.006, and most layers of networks less than 0.02.
constexpr float most_quantisation_error = 0.05f;

bool suits_integers(const Task &task, const Batch &batch) {
    const Product &p = batch.shape;
    return task.kernels.integer && batch.inner * batch.outer == 1 &&
           task.kernels.integer->multiplies(p.lanes.type) && p.rows.type == type_f32 && p.depth % 32 == 0 &&
           p.row_count >= least_integer_rows &&
           !(quantisation_error(task.kernels, batch.at(task, 0)) > most_quantisation_error);
}

void run_integer_product(const Task &task, const Product &product) {
    const IntegerKernels &kernels = *task.kernels.integer;
    void *quantised = task.team.shared_memory(kernels.quantised_size(product.row_count, product.depth));
    Share groups = task.team.share((product.row_count + kernels.tile_rows - 1) / kernels.tile_rows);
    for (Range range; groups.take(range);) kernels.quantise(product, range, quantised);
    task.team.wait();
    const Grid grid = cut(1, product.lane_count, product.row_count, task.team.count, kernels.panel_lanes,
                          kernels.block_panels(product.depth), kernels.tile_rows);
    share_grid(task.team, grid,
               [&](int64_t, Range lanes, Range rows_here) { kernels.product(product, quantised, lanes, rows_here); });
}

} // namespace

bool product_runs(const ggml_tensor *t) {
    const ggml_tensor *weights = t->src[0], *inputs = t->src[1];
    // Weights that the engine has packed anew for its own products (buffers "CPU_REPACK", "AMX") say so here, and
    // nowhere in their type.
    if (weights->extra) return false;
    const bool reads_weights =
        has_dense_rows(weights) || (block_size(weights->type) && weights->nb[0] == block_size(weights->type));
    return reads_weights && (inputs->type == type_f32 || inputs->type == type_f16) && has_dense_rows(inputs) &&
           is_f32(t) && t->nb[0] == sizeof(float) && inputs->ne[1] >= least_rows;
}

bool run_product(const Task &task) {
    if (const ggml_tensor *from = task.fusion.copied) {
        const int64_t count = element_count(task.result), chunk = 1 << 16;
        Share share = task.team.share((count + chunk - 1) / chunk);
        for (Range piece; share.take(piece);) {
            const int64_t begin = piece.begin * chunk, end = std::min(piece.end * chunk, count);
            std::memcpy(floats(task.result) + begin, floats(from) + begin,
                        static_cast<size_t>(end - begin) * sizeof(float));
        }
        return true;
    }
    if (!product_runs(task.result)) return false;
    const Batch batch(task);
    if (suits_integers(task, batch)) {
        run_integer_product(task, batch.at(task, 0));
        return true;
    }
    // Scores of attention may be large, and softmax makes an error of 1/16 in them one of 6 % in their weights.
    const bool is_exact = task.result->op_params[0] == precision_f32;
    const Kernels &kernels = is_exact ? task.exact_kernels() : task.kernels;
    const Grid grid = cut(batch.inner * batch.outer, batch.shape.lane_count, batch.shape.row_count, task.team.count,
                          kernels.panel_lanes, kernels.block_panels, kernels.tile_rows);
    share_grid(task.team, grid,
               [&](int64_t i, Range lanes, Range rows) { kernels.product(batch.at(task, i), lanes, rows); });
    return true;
}

} // namespace sdcpu
