#include "optim/parameter_average.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "core/random.h"

using namespace hadal;
using optim::ParameterAverage;

namespace {

/// Masters that the test moves as steps would.
struct Masters {
    Masters() {
        for (const auto& shape : {Shape{3, 5}, Shape{1}, Shape{70, 11}}) {
            states.push_back({.name = concat("p", states.size()),
                              .master = Tensor::zeros(shape, DType::f32),
                              .m = {},
                              .v = {}});
        }
        move(0);
    }
    void move(uint64_t step) {
        for (size_t p = 0; p < states.size(); ++p) {
            const auto values = states[p].master.values<float>();
            for (size_t i = 0; i < values.size(); ++i) values[i] = value(step, p, i);
        }
    }
    static float value(uint64_t step, size_t parameter, size_t i) {
        return float(random_normal(step, parameter, i));
    }
    std::vector<optim::Adamw::State> states;
};

}  // namespace

TEST_CASE("parameter average: E ← decay·E + (1 − decay)·master, from the first masters on") {
    constexpr double kDecay = 0.9;
    Masters masters;
    ParameterAverage average(masters.states, kDecay);
    for (uint64_t step = 1; step <= 20; ++step) {
        masters.move(step);
        average.update();
        average.wait();  // as a trainer does before the masters move again
    }
    for (size_t p = 0; p < masters.states.size(); ++p) {
        const ParameterAverage::State& state = average.states()[p];
        CHECK(state.name == masters.states[p].name);
        REQUIRE(state.average.shape() == masters.states[p].master.shape());
        for (size_t i = 0; i < size_t(state.average.count()); ++i) {
            double expected = Masters::value(0, p, i), largest = std::abs(expected);
            for (uint64_t step = 1; step <= 20; ++step) {
                const double w = Masters::value(step, p, i);
                expected = kDecay * expected + (1 - kDecay) * w;
                largest = std::max(largest, std::abs(w));
            }
            // Four roundings a step of numbers of twice the largest; an error fades with the decay.
            const double bound = 4 * 2 * largest * 0x1p-24 / (1 - kDecay);
            CHECK(std::abs(state.average.values<float>()[i] - expected) <= bound);
        }
    }
}

TEST_CASE("parameter average: a master that stays is its own average, bit for bit") {
    Masters masters;
    ParameterAverage average(masters.states, 0.999);
    for (int step = 0; step < 10; ++step) average.update();
    for (size_t p = 0; p < masters.states.size(); ++p) {
        const Tensor& master = masters.states[p].master;
        CHECK(std::memcmp(average.states()[p].average.data(), master.data(),
                          size_t(master.bytes())) == 0);
    }
    CHECK(average.bytes() == 4 * (15 + 1 + 770));
}

TEST_CASE("parameter average: restart forgets what was before") {
    Masters masters;
    ParameterAverage average(masters.states, 0.5);
    masters.move(1);
    average.restart();
    CHECK(average.states()[1].average.values<float>()[0] == Masters::value(1, 1, 0));
}
