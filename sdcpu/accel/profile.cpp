#include "profile.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine.h"
#include "platform.h"

namespace sdcpu {

namespace {

struct Entry {
    double seconds = 0, operations = 0; // operations: multiplications and additions
    long count = 0;
};

int read_level() {
    const char *text = std::getenv("SDCPU_ACCEL_PROFILE");
    return text ? std::atoi(text) : 0;
}
const int level = read_level();

class Profile {
  public:
    ~Profile() { print("the rest"); }

    void tick(std::string key, double operations) {
        const double now = thread_seconds();
        if (!current.empty()) {
            Entry &entry = entries[current];
            entry.seconds += now - since;
            entry.operations += current_operations;
            entry.count++;
        }
        current = std::move(key);
        current_operations = operations;
        since = now;
    }

    void say(const char *more) { current += more; }

    // Of what came since the last time.
    void print(const char *title) {
        if (entries.empty()) return;
        std::vector<std::pair<double, std::string>> order;
        Entry total;
        for (const auto &[key, entry] : entries) {
            order.emplace_back(-entry.seconds, key);
            total.seconds += entry.seconds;
            total.operations += entry.operations;
        }
        std::sort(order.begin(), order.end());
        std::fprintf(stderr, "profile of %s: %.3f s, %.1f GFLOP, %.0f GFLOP/s\n", title, total.seconds,
                     total.operations * 1e-9, total.operations * 1e-9 / total.seconds);
        for (const auto &[minus_seconds, key] : order) {
            const Entry &entry = entries.at(key);
            if (entry.seconds < 0.001 * total.seconds) break;
            std::fprintf(stderr, "%9.1f ms %5.1f %% %6ld x %7.1f GFLOP %5.0f GFLOP/s  %s\n", entry.seconds * 1e3,
                         100 * entry.seconds / total.seconds, entry.count, entry.operations * 1e-9,
                         entry.operations * 1e-9 / entry.seconds, key.c_str());
        }
        entries.clear();
    }

  private:
    std::map<std::string, Entry> entries;
    std::string current;
    double current_operations = 0;
    double since = 0;
};

Profile &profile() {
    static Profile only;
    return only;
}

double operations_of(const ggml_tensor *t) {
    const ggml_tensor *a = t->src[0], *b = t->src[1];
    const auto count = [](const ggml_tensor *x) {
        return static_cast<double>(x->ne[0] * x->ne[1] * x->ne[2] * x->ne[3]);
    };
    if (t->op == op_matrix_product) return 2 * count(t) * static_cast<double>(a->ne[0]);
    if (t->op == op_convolution) return 2 * count(t) * static_cast<double>(a->ne[0] * a->ne[1] * a->ne[2]);
    if (t->op == op_flash_attention)
        return 2.0 * static_cast<double>(a->ne[1] * a->ne[2] * a->ne[3] * b->ne[1] * (a->ne[0] + t->ne[0]));
    return 0;
}

std::string shape_of(const char *name, const ggml_tensor *t) {
    if (!t) return "";
    return std::string(" ") + name + "[" + std::to_string(t->ne[0]) + "," + std::to_string(t->ne[1]) + "," +
           std::to_string(t->ne[2]) + "," + std::to_string(t->ne[3]) + "]";
}

std::string key_of(const ggml_tensor *t, const Fusion &fusion) {
    std::string key = engine.operation_name(t);
    for (const ggml_tensor *source : {t->src[0], t->src[1]})
        if (source) key += "/" + std::to_string(source->type);
    if (level > 1) key += shape_of("result", t) + shape_of("a", t->src[0]) + shape_of("b", t->src[1]);
    if (fusion.is_done_elsewhere) key += " (done elsewhere)";
    else if (fusion.bias || fusion.residual || fusion.negative_slope != 1 || fusion.picture || fusion.scale ||
             fusion.gate || fusion.sum || fusion.factor != 1)
        key += " (with more)";
    return key;
}

} // namespace

bool is_profiling() { return level > 0; }

void profile_graph_begins() {
    if (level) profile().tick("", 0);
}

void profile_operation(const ggml_tensor *t, const Fusion &fusion) {
    if (level) profile().tick(key_of(t, fusion), operations_of(t));
}

void profile_left_to_engine() {
    if (level) profile().say(" (engine)");
}

void profile_graph_ends() {
    if (level) profile().tick("", 0);
}

void print_profile(const char *title) {
    if (level) profile().print(title);
}

} // namespace sdcpu
