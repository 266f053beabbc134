// AdamW over lists of parameters: against its formula in double precision, and what must not
// matter.
#include "optim/adamw.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "core/random.h"
#include "formats/bfloat16.h"

using namespace hadal;
using namespace hadal::optim;

namespace {

struct Machine {
    explicit Machine(int count) : threads(count), context{threads, workspace} {}
    ThreadPool threads;
    Workspace workspace;
    Context context;
};

/// Parameters of several sizes, one large enough to be divided among threads.
std::vector<OptimizedParameter> make_parameters(DType dtype) {
    std::vector<OptimizedParameter> list;
    uint64_t stream = 0;
    for (const int64_t count : {1, 7, 64, 1000, 600'000, 3}) {
        OptimizedParameter p{.name = concat("p", stream),
                             .parameter = Tensor::zeros({count}, dtype),
                             .gradient = Tensor::zeros({count}, DType::f32),
                             .decay = stream % 2 == 0};
        for (int64_t i = 0; i < count; ++i) {
            const auto value = float(random_normal(1, stream, uint64_t(i)));
            if (dtype == DType::bf16)
                p.parameter.values<bf16>()[size_t(i)] = to_bf16(value);
            else
                p.parameter.values<float>()[size_t(i)] = value;
        }
        list.push_back(p);
        ++stream;
    }
    return list;
}

void set_gradients(std::vector<OptimizedParameter>& list, uint64_t step) {
    for (size_t p = 0; p < list.size(); ++p) {
        auto values = list[p].gradient.values<float>();
        for (size_t i = 0; i < values.size(); ++i) values[i] = float(random_normal(2 + step, p, i));
    }
}

/// One element's life by the formula, in double.
struct Reference {
    double master, m = 0, v = 0;
    int64_t t = 0;

    void step(double g, double rate, bool decay, const AdamwSettings& s) {
        ++t;
        m = s.beta1 * m + (1 - s.beta1) * g;
        v = s.beta2 * v + (1 - s.beta2) * g * g;
        const double m_hat = m / (1 - std::pow(s.beta1, double(t)));
        const double v_hat = v / (1 - std::pow(s.beta2, double(t)));
        master -=
            rate * (m_hat / (std::sqrt(v_hat) + s.epsilon) + (decay ? s.weight_decay * master : 0));
    }
};

std::vector<std::byte> bytes_of(const std::vector<OptimizedParameter>& list) {
    std::vector<std::byte> all;
    for (const auto& p : list)
        all.insert(all.end(), p.parameter.data(), p.parameter.data() + p.parameter.bytes());
    return all;
}

}  // namespace

TEST_CASE("adamw: masters follow the formula, decay on those that ask for it, scaled gradients") {
    Machine machine(2);
    const AdamwSettings settings;
    auto list = make_parameters(DType::f32);
    std::vector<std::vector<Reference>> references;
    for (const auto& p : list) {
        auto& elements = references.emplace_back();
        for (const float value : p.parameter.values<float>()) elements.push_back({double(value)});
    }
    Adamw adamw(machine.context, list, settings);
    for (uint64_t step = 0; step < 5; ++step) {
        set_gradients(list, step);
        const double rate = 0.01 * double(step + 1), scale = step == 2 ? 0.25 : 1;
        for (size_t p = 0; p < list.size(); ++p) {
            const auto gradients = list[p].gradient.values<float>();
            for (size_t i = 0; i < gradients.size(); ++i)
                references[p][i].step(scale * double(gradients[i]), rate, list[p].decay, settings);
        }
        adamw.step(machine.context, rate, scale);
        for (size_t p = 0; p < list.size(); ++p) {
            const auto values = list[p].parameter.values<float>();
            for (size_t i = 0; i < values.size(); i += 1 + values.size() / 500)
                REQUIRE(std::abs(double(values[i]) - references[p][i].master) <
                        2e-6 * (1 + std::abs(references[p][i].master)));
            for (const float g : list[p].gradient.values<float>()) REQUIRE(g == 0);
        }
    }
    CHECK(adamw.steps() == 5);
}

TEST_CASE("adamw: the number of threads shows in no bit") {
    for (const DType dtype : {DType::f32, DType::bf16}) {
        std::vector<std::byte> wanted;
        for (const int count : {1, 2, 4}) {
            Machine machine(count);
            auto list = make_parameters(dtype);
            Adamw adamw(machine.context, list, {});
            for (uint64_t step = 0; step < 3; ++step) {
                set_gradients(list, step);
                adamw.step(machine.context, 1e-3, 0.5);
            }
            if (wanted.empty()) wanted = bytes_of(list);
            CHECK(bytes_of(list) == wanted);
        }
    }
}

TEST_CASE("adamw: steps too small for bf16 add up in the masters") {
    Machine machine(1);
    Tensor parameter = Tensor::zeros({1}, DType::bf16), gradient = Tensor::zeros({1}, DType::f32);
    parameter.values<bf16>()[0] = to_bf16(1);
    const std::vector<OptimizedParameter> list = {{"w", parameter, gradient, false}};
    Adamw adamw(machine.context, list, {});
    // A step moves by about the rate; half of bf16's distance at 1 is 2⁻⁹.
    for (int step = 0; step < 50; ++step) {
        gradient.values<float>()[0] = 1;
        adamw.step(machine.context, 1e-4, 1);
        if (step < 10) CHECK(to_float(parameter.values<bf16>()[0]) == 1);
    }
    CHECK(to_float(parameter.values<bf16>()[0]) == doctest::Approx(0.995).epsilon(0.002));
    CHECK(adamw.states()[0].master.values<float>()[0] == doctest::Approx(0.995).epsilon(1e-5));
}

TEST_CASE("adamw: a skipped step forgets the gradients and counts nothing") {
    Machine machine(2);
    auto list = make_parameters(DType::bf16);
    Adamw adamw(machine.context, list, {});
    const auto before = bytes_of(list);
    set_gradients(list, 1);
    adamw.discard_gradients();
    CHECK(bytes_of(list) == before);
    CHECK(adamw.steps() == 0);
    for (const auto& p : list)
        for (const float g : p.gradient.values<float>()) REQUIRE(g == 0);
}

TEST_CASE("adamw: a restored optimizer goes on as the first one would have") {
    Machine machine(2);
    auto first = make_parameters(DType::bf16), second = make_parameters(DType::bf16);
    Adamw one(machine.context, first, {}), two(machine.context, second, {});
    for (uint64_t step = 0; step < 2; ++step) {
        set_gradients(first, step);
        one.step(machine.context, 1e-2, 1);
    }
    for (size_t i = 0; i < first.size(); ++i) {
        two.states()[i].master.copy_from(one.states()[i].master);
        two.states()[i].m.copy_from(one.states()[i].m);
        two.states()[i].v.copy_from(one.states()[i].v);
    }
    two.restored(machine.context, one.steps());
    CHECK(bytes_of(second) == bytes_of(first));
    set_gradients(first, 9);
    set_gradients(second, 9);
    one.step(machine.context, 1e-2, 1);
    two.step(machine.context, 1e-2, 1);
    CHECK(bytes_of(second) == bytes_of(first));
}
