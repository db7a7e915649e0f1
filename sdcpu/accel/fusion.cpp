#include "fusion.h"

#include "operations/operations.h"
#include "tensors.h"

namespace sdcpu {

class FusionPlanner {
  public:
    FusionPlanner(const std::vector<ggml_tensor *> &nodes, FusionPlan &plan) : nodes(nodes), plan(plan) {
        for (size_t i = 0; i < nodes.size(); i++) {
            positions[nodes[i]] = i;
            for (const ggml_tensor *source : nodes[i]->src)
                if (source) {
                    readers[source]++;
                    last_reader[source] = nodes[i];
                }
        }
    }

    void make() {
        for (ggml_tensor *t : nodes) {
            if (is_planned(t)) continue;
            if (t->op == op_matrix_product && product_runs(t)) {
                plan_sums(t, t->ne[0], 0);
                plan_addition(t, t->src[0]->ne[0]);
            } else if (t->op == op_convolution && convolution_runs(t)) {
                plan_sums(t, t->ne[2], 2);
                if (t->src[0]->ne[0] == 1 && t->src[0]->ne[1] == 1) plan_addition(t, t->src[0]->ne[2]);
            } else if (t->op == op_im2col_3d) plan_film(t);
            else if (t->op == op_group_norm) plan_norm(t, t->ne[2], 2);
            else if (t->op == op_norm || t->op == op_rms_norm) plan_norm(t, t->ne[0], 0);
            else if (t->op == op_make_contiguous) plan_gate(t);
            else if (t->op == op_scale) plan_softmax(t);
        }
    }

  private:
    // The only reader of t, looking through reshapes; null when there are several or t is a result of the graph.
    ggml_tensor *only_reader(const ggml_tensor *t) const {
        for (;;) {
            const auto count = readers.find(t);
            if (t->flags & flag_output || count == readers.end() || count->second != 1) return nullptr;
            ggml_tensor *reader = last_reader.at(t);
            if (reader->op != op_reshape || reader->data != t->data) return reader;
            t = reader;
        }
    }

    // Whether reader takes t, or a reshape of it, as its first operand and writes its result over it.
    static bool continues_in_place(const ggml_tensor *reader, int op, const ggml_tensor *t) {
        if (!reader || reader->op != op || reader->data != t->data) return false;
        const ggml_tensor *source = reader->src[0];
        while (source && source != t && source->op == op_reshape) source = source->src[0];
        return source == t;
    }

    // Whether t holds its value before node `position` is computed.
    bool is_known_before(const ggml_tensor *t, size_t position) const {
        if (t->view_src && (t->op == op_reshape || t->op == op_view)) t = t->view_src;
        const auto found = positions.find(t);
        return found == positions.end() || found->second < position;
    }

    // Whether t has one float for each of `count` channels, which are dimension `dimension`.
    static bool is_per_channel(const ggml_tensor *t, int64_t count, int dimension) {
        return is_contiguous_f32(t) && element_count(t) == count && t->ne[dimension] == count;
    }

    bool is_planned(const ggml_tensor *t) const { return plan.fusions.count(t) != 0; }
    void take_over(const ggml_tensor *t) { plan.fusions[t].is_done_elsewhere = true; }

    // + bias, + residual, relu
    void plan_sums(const ggml_tensor *t, int64_t channels, int dimension) {
        Fusion fusion;
        const ggml_tensor *current = t;
        while (!fusion.residual) {
            const ggml_tensor *sum = only_reader(current);
            if (!continues_in_place(sum, op_add, current) || !is_contiguous_f32(sum) ||
                element_count(sum) != element_count(t))
                break;
            const ggml_tensor *addend = sum->src[1];
            if (!is_contiguous_f32(addend) || !is_known_before(addend, positions.at(t))) break;
            if (!fusion.bias && is_per_channel(addend, channels, dimension) &&
                element_count(addend) != element_count(t))
                fusion.bias = addend;
            else if (has_same_shape(addend, sum) && addend->data != t->data) fusion.residual = addend;
            else break;
            take_over(sum);
            current = sum;
        }
        const ggml_tensor *activation = only_reader(current);
        if (t->op == op_convolution && activation && is_contiguous_f32(activation)) {
            if (continues_in_place(activation, op_leaky_relu, current) && float_parameter(activation, 0) < 1)
                fusion.negative_slope = float_parameter(activation, 0);
            else if (continues_in_place(activation, op_unary, current) && activation->op_params[0] == unary_relu)
                fusion.negative_slope = 0;
            if (fusion.negative_slope != 1) take_over(activation);
        }
        if (fusion.bias || fusion.residual || fusion.negative_slope != 1) plan.fusions[t] = fusion;
    }

    // im2col of three dimensions, product: the convolution is computed into the memory of the im2col matrix, because
    // the frames may be gone when the product is reached.
    void plan_film(const ggml_tensor *t) {
        const ggml_tensor *product = only_reader(t);
        if (!film_convolution_runs(t) || !product || product->op != op_matrix_product) return;
        const ggml_tensor *kernel = t->src[0], *matrix = product->src[0], *weights = product->src[1];
        if (!is_contiguous_f32(product) || matrix->data != t->data || weights->data != kernel->data) return;
        const int64_t pixels = t->ne[1] * t->ne[2] * t->ne[3], channels = kernel->ne[3] / film_channels(t);
        if (!is_contiguous(weights) || weights->ne[0] != t->ne[0] || weights->ne[1] != channels ||
            product->ne[0] != pixels || element_count(product) != pixels * channels)
            return;
        plan.fusions[t].picture = t->src[1];
        plan.fusions[product].copied = t;
    }

    // * factor, added to a sum in place
    void plan_addition(const ggml_tensor *t, int64_t depth) {
        if (is_planned(t) || depth > most_scaled_depth || !is_contiguous_f32(t) || !has_dense_rows(t->src[0])) return;
        const ggml_tensor *scaled = only_reader(t);
        if (!continues_in_place(scaled, op_scale, t) || float_parameter(scaled, 1) != 0) return;
        const ggml_tensor *sum = only_reader(scaled);
        if (!sum || sum->op != op_add || sum->data != sum->src[0]->data || sum->src[1]->data != scaled->data) return;
        if (!is_contiguous_f32(sum) || !is_contiguous_f32(sum->src[0]) || !has_same_shape(sum, t) ||
            !has_same_shape(sum, sum->src[0]) || !has_same_shape(sum, sum->src[1]))
            return;
        // What it is added to must be there already, and nobody may read that before the sum.
        const size_t position = positions.at(t);
        if (!is_known_before(sum->src[0], position)) return;
        for (size_t i = position + 1; nodes[i] != sum; i++)
            if (nodes[i] != scaled && nodes[i]->op != op_reshape) return;
        take_over(scaled);
        take_over(sum);
        Fusion fusion;
        fusion.factor = float_parameter(scaled, 0);
        fusion.sum = sum;
        plan.fusions[t] = fusion;
    }

    // * scale, + shift, silu
    void plan_norm(const ggml_tensor *t, int64_t channels, int dimension) {
        if (!is_contiguous_f32(t) || !is_contiguous_f32(t->src[0])) return;
        Fusion fusion;
        const ggml_tensor *product = only_reader(t);
        if (!continues_in_place(product, op_multiply, t) || !is_per_channel(product->src[1], channels, dimension) ||
            !is_known_before(product->src[1], positions.at(t)))
            return;
        fusion.scale = product->src[1];
        if (t->op == op_rms_norm) {
            take_over(product);
            plan.fusions[t] = fusion;
            return;
        }
        const ggml_tensor *sum = only_reader(product);
        if (!continues_in_place(sum, op_add, product) || !is_per_channel(sum->src[1], channels, dimension) ||
            !is_known_before(sum->src[1], positions.at(t)))
            return;
        fusion.shift = sum->src[1];
        take_over(product);
        take_over(sum);
        const ggml_tensor *activation = only_reader(sum);
        if (t->op == op_group_norm && continues_in_place(activation, op_unary, sum) &&
            activation->op_params[0] == unary_silu) {
            fusion.silu = true;
            take_over(activation);
        }
        plan.fusions[t] = fusion;
    }

    // x * gelu(copy of gate): the product reads the gate itself, so the copy and the gelu disappear.
    void plan_gate(const ggml_tensor *copy) {
        const ggml_tensor *gate = copy->src[0];
        if (!is_contiguous_f32(copy) || !is_f32(gate) || !has_dense_rows(gate)) return;
        const ggml_tensor *activation = only_reader(copy);
        if (!continues_in_place(activation, op_unary, copy) || activation->op_params[0] != unary_gelu) return;
        const ggml_tensor *product = only_reader(activation);
        if (!product || product->op != op_multiply || product->src[1] != activation || !is_contiguous_f32(product))
            return;
        const ggml_tensor *x = product->src[0];
        if (!is_f32(x) || !has_dense_rows(x) || !has_same_shape(product, x) || !has_same_shape(x, gate)) return;
        // Only when both are parts of one tensor does the gate still exist when the product is computed.
        const ggml_tensor *whole = x->view_src ? x->view_src : x;
        if (whole != (gate->view_src ? gate->view_src : gate) || overlap(product, whole)) return;
        take_over(copy);
        take_over(activation);
        plan.fusions[product].gate = gate;
    }

    static bool overlap(const ggml_tensor *a, const ggml_tensor *b) {
        const char *a_begin = static_cast<const char *>(a->data), *b_begin = static_cast<const char *>(b->data);
        return a_begin < b_begin + element_count(b) * 4 && b_begin < a_begin + element_count(a) * 4;
    }

    // scale, softmax
    void plan_softmax(const ggml_tensor *t) {
        const float factor = float_parameter(t, 0), offset = float_parameter(t, 1);
        if (!is_contiguous_f32(t) || t->data != t->src[0]->data || offset != 0 || !(factor > 0)) return;
        const ggml_tensor *softmax = only_reader(t);
        if (!continues_in_place(softmax, op_softmax, t) || softmax->src[1] || !softmax_runs(softmax)) return;
        take_over(t);
        plan.fusions[softmax].factor = factor;
    }

    const std::vector<ggml_tensor *> &nodes;
    FusionPlan &plan;
    std::unordered_map<const ggml_tensor *, size_t> positions;
    std::unordered_map<const ggml_tensor *, int> readers;
    std::unordered_map<const ggml_tensor *, ggml_tensor *> last_reader;
};

void FusionPlan::make(const std::vector<ggml_tensor *> &nodes) {
    fusions.clear();
    FusionPlanner(nodes, *this).make();
}

const Fusion &FusionPlan::of(const ggml_tensor *t) const {
    static const Fusion nothing;
    const auto found = fusions.find(t);
    return found == fusions.end() ? nothing : found->second;
}

std::vector<ggml_tensor *> FusionPlan::done_elsewhere() const {
    std::vector<ggml_tensor *> tensors;
    for (const auto &entry : fusions)
        if (entry.second.is_done_elsewhere) tensors.push_back(const_cast<ggml_tensor *>(entry.first));
    return tensors;
}

} // namespace sdcpu
