#include "check.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "engine.h"
#include "tensors.h"

namespace sdcpu {

namespace {

const bool checking = std::getenv("SDCPU_ACCEL_CHECK") && std::atoi(std::getenv("SDCPU_ACCEL_CHECK"));

struct Differences {
    long count = 0;
    double sum = 0, most = 0; // of |ours - engine's| / |engine's|, both as lengths of vectors
    double most_of_one = 0;   // of the largest difference / the largest value
};

class Check {
  public:
    ~Check() {
        for (const auto &[key, d] : kinds)
            std::fprintf(stderr, "check %-28s %6ld x  difference: mean %.1e, most %.1e, of one value %.1e\n",
                         key.c_str(), d.count, d.sum / static_cast<double>(d.count), d.most, d.most_of_one);
    }

    void save(const ggml_tensor *t) {
        before.resize(static_cast<size_t>(element_count(t)) * sizeof(float));
        std::memcpy(before.data(), t->data, before.size());
    }

    void take(const ggml_tensor *t, bool was_run) {
        if (was_run) {
            ours.assign(floats(t), floats(t) + element_count(t));
            waiting = t;
        }
        std::memcpy(t->data, before.data(), before.size());
    }

    // Compares the operation that waits: the engine has computed it by now.
    void compare() {
        if (!waiting) return;
        const ggml_tensor *t = waiting;
        waiting = nullptr;
        double error = 0, length = 0, largest_error = 0, largest = 0;
        for (size_t i = 0; i < ours.size(); i++) {
            const double theirs = floats(t)[i], difference = ours[i] - theirs;
            error += difference * difference;
            length += theirs * theirs;
            largest_error = std::max(largest_error, std::fabs(difference));
            largest = std::max(largest, std::fabs(theirs));
        }
        std::string key = engine.operation_name(t);
        for (const ggml_tensor *source : {t->src[0], t->src[1]})
            if (source) key += "/" + std::to_string(source->type);
        Differences &d = kinds[key];
        const double relative = std::sqrt(error / std::max(length, 1e-30));
        d.count++;
        d.sum += relative;
        d.most = std::isnan(relative) ? INFINITY : std::max(d.most, relative);
        d.most_of_one = std::max(d.most_of_one, largest_error / std::max(largest, 1e-30));
    }

  private:
    std::vector<char> before;
    std::vector<float> ours;
    const ggml_tensor *waiting = nullptr;
    std::map<std::string, Differences> kinds;
};

Check &check() {
    static Check only;
    return only;
}

} // namespace

bool is_checking() { return checking; }

bool check_operation(const Task &task) {
    const ggml_tensor *t = task.result;
    if (task.team.index == 0) check().compare();
    if (!is_contiguous_f32(t)) return false;
    task.team.wait();
    if (task.team.index == 0) check().save(t);
    task.team.wait();
    const bool was_run = run_operation(task);
    task.team.wait();
    if (task.team.index == 0) check().take(t, was_run);
    task.team.wait();
    return false;
}

void check_graph_ends() {
    if (checking) check().compare();
}

} // namespace sdcpu
