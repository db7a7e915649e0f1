#include "engine.h"

#include <atomic>
#include <cstring>

#include "kernels/kernels.h"
#include "symbols.h"

namespace sdcpu {

Engine engine = {};

namespace {

constexpr const char *known_version = "0.9.8";

template <class Function> void find(const char *name, Function &function) {
    function = reinterpret_cast<Function>(engine_function(name));
}

template <class Function> Function found(const char *name) {
    Function function;
    find(name, function);
    return function;
}

struct Numbered {
    int number;
    const char *name;
};

constexpr Numbered operations[] = {
    {op_none, "NONE"},
    {op_duplicate, "DUP"},
    {op_add, "ADD"},
    {op_multiply, "MUL"},
    {op_repeat, "REPEAT"},
    {op_concatenate, "CONCAT"},
    {op_norm, "NORM"},
    {op_rms_norm, "RMS_NORM"},
    {op_group_norm, "GROUP_NORM"},
    {op_matrix_product, "MUL_MAT"},
    {op_scale, "SCALE"},
    {op_copy, "CPY"},
    {op_make_contiguous, "CONT"},
    {op_reshape, "RESHAPE"},
    {op_view, "VIEW"},
    {op_permute, "PERMUTE"},
    {op_transpose, "TRANSPOSE"},
    {op_get_rows, "GET_ROWS"},
    {op_softmax, "SOFT_MAX"},
    {op_im2col, "IM2COL"},
    {op_im2col_3d, "IM2COL_3D"},
    {op_convolution, "CONV_2D"},
    {op_convolution_3d, "CONV_3D"},
    {op_upscale, "UPSCALE"},
    {op_pad, "PAD"},
    {op_timestep_embedding, "TIMESTEP_EMBEDDING"},
    {op_leaky_relu, "LEAKY_RELU"},
    {op_flash_attention, "FLASH_ATTN_EXT"},
    {op_unary, "UNARY"},
};
constexpr Numbered unaries[] = {
    {unary_relu, "RELU"},
    {unary_gelu, "GELU"},
    {unary_gelu_quick, "GELU_QUICK"},
    {unary_silu, "SILU"},
};

struct KnownType {
    int number;
    const char *name;
    int64_t block;
    size_t bytes;
};
constexpr KnownType types[] = {
    {type_f32, "f32", 1, 4},       {type_f16, "f16", 1, 2},       {type_bf16, "bf16", 1, 2},
    {type_q4_0, "q4_0", 32, 18},   {type_q4_1, "q4_1", 32, 20},   {type_q5_0, "q5_0", 32, 22},
    {type_q5_1, "q5_1", 32, 24},   {type_q8_0, "q8_0", 32, 34},   {type_q4_k, "q4_K", 256, 144},
    {type_q5_k, "q5_K", 256, 176}, {type_q6_k, "q6_K", 256, 210},
};

std::string difference_of_names() {
    const auto operation_name = found<const char *(*)(int)>("ggml_op_name");
    const auto unary_name = found<const char *(*)(int)>("ggml_unary_op_name");
    const auto type_name = found<const char *(*)(int)>("ggml_type_name");
    const auto block_size = found<int64_t (*)(int)>("ggml_blck_size");
    const auto type_size = found<size_t (*)(int)>("ggml_type_size");
    if (!operation_name || !unary_name || !type_name || !block_size || !type_size) return "functions are missing";
    for (const Numbered &known : operations)
        if (std::strcmp(operation_name(known.number), known.name) != 0) return std::string("operation ") + known.name;
    for (const Numbered &known : unaries)
        if (std::strcmp(unary_name(known.number), known.name) != 0) return std::string("function ") + known.name;
    for (const KnownType &known : types)
        if (std::strcmp(type_name(known.number), known.name) != 0 || block_size(known.number) != known.block ||
            type_size(known.number) != known.bytes)
            return std::string("type ") + known.name;
    return "";
}

// What the hook saw of the trial graph.
std::atomic<const ggml_tensor *> trial{nullptr};
std::atomic<int> trial_calls{0};
std::atomic<bool> trial_params_differ{false};

// Builds a convolution and an activation, looks at their tensors through our structures, and computes the activation
// with two threads.
std::string difference_of_layout() {
    using Context = ggml_context *;
    using Tensor = ggml_tensor *;
    const auto init = found<Context (*)(ggml_init_params)>("ggml_init");
    const auto free_context = found<void (*)(Context)>("ggml_free");
    const auto new_tensor = found<Tensor (*)(Context, int, int64_t, int64_t, int64_t, int64_t)>("ggml_new_tensor_4d");
    const auto bytes = found<size_t (*)(const ggml_tensor *)>("ggml_nbytes");
    const auto set_name = found<Tensor (*)(Tensor, const char *)>("ggml_set_name");
    const auto set_output = found<void (*)(Tensor)>("ggml_set_output");
    const auto convolution =
        found<Tensor (*)(Context, Tensor, Tensor, int, int, int, int, int, int)>("ggml_conv_2d_direct");
    const auto silu = found<Tensor (*)(Context, Tensor)>("ggml_silu");
    const auto reshape = found<Tensor (*)(Context, Tensor, int64_t)>("ggml_reshape_1d");
    const auto new_graph = found<ggml_cgraph *(*)(Context)>("ggml_new_graph");
    const auto expand = found<void (*)(ggml_cgraph *, Tensor)>("ggml_build_forward_expand");
    const auto compute = found<int (*)(Context, ggml_cgraph *, int)>("ggml_graph_compute_with_ctx");
    const auto cpu_init = found<void (*)()>("ggml_cpu_init");
    if (!init || !free_context || !new_tensor || !bytes || !set_name || !set_output || !convolution || !silu ||
        !reshape || !new_graph || !expand || !compute || !cpu_init)
        return "functions are missing";

    cpu_init();
    const Context context = init({1 << 20, nullptr, false});
    if (!context) return "no context";
    const auto differs = [&]() -> std::string {
        const Tensor kernel = new_tensor(context, type_f16, 3, 2, 5, 7);
        if (kernel->type != type_f16 || kernel->ne[0] != 3 || kernel->ne[1] != 2 || kernel->ne[2] != 5 ||
            kernel->ne[3] != 7 || kernel->nb[0] != 2 || kernel->nb[1] != 6 || kernel->nb[2] != 12 ||
            kernel->nb[3] != 60 || kernel->op != op_none || !kernel->data || bytes(kernel) != 420)
            return "sizes of a tensor";
        set_name(kernel, "kernel");
        if (std::strcmp(kernel->name, "kernel") != 0) return "name of a tensor";
        const Tensor input = new_tensor(context, type_f32, 16, 16, 5, 1);
        const Tensor picture = convolution(context, kernel, input, 1, 2, 3, 4, 5, 6);
        if (picture->op != op_convolution || picture->src[0] != kernel || picture->src[1] != input || picture->src[2])
            return "sources of an operation";
        for (int i = 0; i < 6; i++)
            if (picture->op_params[i] != i + 1) return "parameters of an operation";
        const Tensor view = reshape(context, input, 16 * 16 * 5);
        if (view->view_src != input || view->view_offs != 0 || view->data != input->data || view->op != op_reshape)
            return "view of a tensor";
        std::memset(input->data, 0, bytes(input));
        const Tensor result = silu(context, input);
        if (result->op != op_unary || result->op_params[0] != unary_silu) return "function of an operation";
        set_output(result);
        if (result->flags != flag_output) return "flags of a tensor";
        ggml_cgraph *graph = new_graph(context);
        expand(graph, result);
        if (result->flags != (flag_output | flag_compute)) return "flags of a node";
        if (engine.node_count(graph) != 1 || engine.node(graph, 0) != result) return "nodes of a graph";
        trial_calls = 0;
        trial_params_differ = false;
        trial = result;
        compute(context, graph, 2);
        trial = nullptr;
        if (trial_calls == 0) return "its operations do not pass here";
        if (trial_calls != 2 || trial_params_differ) return "parameters of a thread";
        return "";
    }();
    free_context(context);
    return differs;
}

std::string find_difference() {
    const auto version = found<const char *(*)()>("ggml_version");
    if (!version) return "no version";
    if (std::strcmp(version(), known_version) != 0)
        return std::string("ggml ") + version() + " instead of " + known_version;
    if (!engine.can_be_cancelled() || !engine.barrier || !engine.compute_extra || !engine.buffer_start ||
        !engine.buffer_size)
        return "functions are missing";
    const std::string names = difference_of_names();
    return names.empty() ? difference_of_layout() : names;
}

} // namespace

void find_engine(const char *library_path) {
    static bool is_open = false;
    if (is_open || !library_path) return;
    is_open = open_engine(library_path);
    if (!is_open) return;
    find("ggml_backend_graph_compute", engine.compute_graph);
    find("ggml_cpu_extra_compute_forward", engine.compute_extra);
    find("ggml_graph_n_nodes", engine.node_count);
    find("ggml_graph_node", engine.node);
    find("ggml_op_desc", engine.operation_name);
    find("ggml_backend_is_cpu", engine.is_cpu);
    find("ggml_backend_cpu_set_abort_callback", engine.set_abort_callback);
    find("ggml_barrier", engine.barrier);
    find("ggml_backend_buffer_get_base", engine.buffer_start);
    find("ggml_backend_buffer_get_size", engine.buffer_size);
}

const std::string &engine_difference() {
    static const std::string difference = find_difference();
    return difference;
}

bool engine_is_known() { return engine_difference().empty(); }

bool observe_trial(const ggml_compute_params *params, const ggml_tensor *t) {
    if (trial.load(std::memory_order_relaxed) != t || !t) return false;
    trial_calls++;
    if (params->nth != 2 || params->ith < 0 || params->ith > 1 || !params->threadpool) trial_params_differ = true;
    else engine.barrier(params->threadpool);
    return true;
}

} // namespace sdcpu
