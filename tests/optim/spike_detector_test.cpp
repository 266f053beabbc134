#include "optim/spike_detector.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/random.h"

using namespace hadal;
using optim::SpikeDetector;

namespace {

SpikeDetector filled(const optim::SpikeSettings& settings, std::vector<double> values) {
    SpikeDetector detector(settings);
    for (const double value : values) detector.add(value);
    return detector;
}

}  // namespace

TEST_CASE("spikes: median and deviation as computed by hand") {
    // Median of 1 2 4 7 11: 4; distances 3 2 0 3 7, their median 3; (20 − 4) / (1.4826 · 3).
    const auto odd = filled({.window = 5, .threshold = 3}, {7, 1, 11, 2, 4});
    CHECK(odd.judge(20).median == 4);
    CHECK(odd.judge(20).deviation == doctest::Approx(16 / 4.4478));
    CHECK(odd.judge(20).spike);
    CHECK_FALSE(odd.judge(17).spike);
    CHECK_FALSE(odd.judge(-1000).spike);  // a loss that falls is welcome
    // Median of 1 2 4 7: 3; distances 2 1 1 4: 1.5.
    const auto even = filled({.window = 4, .threshold = 3}, {7, 1, 2, 4});
    CHECK(even.judge(5).median == 3);
    CHECK(even.judge(5).deviation == doctest::Approx(2 / (1.4826 * 1.5)));
}

TEST_CASE("spikes: jumps in the window do not hide the next one, as they would with a mean") {
    std::vector<double> values;
    for (int i = 0; i < 100; ++i) {
        values.push_back(i % 3 == 0 ? 50.0 : 2 + 0.1 * double(random_bits(1, 0, uint64_t(i)) % 10));
    }
    const auto detector = filled({.window = 100, .threshold = 10}, values);
    CHECK(detector.judge(50).spike);
    CHECK_FALSE(detector.judge(3.2).spike);
}

TEST_CASE("spikes: a new level is the normal case once half of the window is on it") {
    SpikeDetector detector({.window = 64, .threshold = 10});
    const auto value = [](double level, int i) { return level + 0.01 * (i % 7); };
    for (int i = 0; i < 64; ++i) detector.add(value(1, i));
    int steps = 0;
    while (detector.judge(value(5, 3)).spike) detector.add(value(5, steps++));
    CHECK(steps == 32);
}

TEST_CASE("spikes: a curve without noise needs a rise of threshold · 2 %") {
    const auto detector = filled({.window = 40, .threshold = 10}, std::vector<double>(40, 3.0));
    CHECK_FALSE(detector.judge(3.59).spike);
    CHECK(detector.judge(3.61).spike);
    CHECK(filled({.window = 40, .threshold = 10}, std::vector<double>(40, 0.0)).judge(1e-9).spike);
}

TEST_CASE("spikes: nothing is judged before 32 values or a full window, and never without one") {
    SpikeDetector detector({.window = 100, .threshold = 10});
    for (int i = 0; i < 31; ++i) detector.add(1);
    CHECK_FALSE(detector.judge(1e9).spike);
    detector.add(1);
    CHECK(detector.judge(1e9).spike);
    CHECK(filled({.window = 3, .threshold = 10}, {1, 1, 1}).judge(2).spike);
    CHECK_FALSE(filled({.window = 0}, std::vector<double>(99, 1.0)).judge(1e9).spike);
    CHECK(filled({.window = 0}, std::vector<double>(99, 1.0)).values().empty());
}

TEST_CASE("spikes: the window keeps the newest, also when restored into a smaller one") {
    auto detector = filled({.window = 3, .threshold = 10}, {1, 2, 3, 4, 5});
    CHECK(std::vector<double>(detector.values().begin(), detector.values().end()) ==
          std::vector<double>{3, 4, 5});
    detector.restore({9, 8, 7, 6, 5});
    CHECK(std::vector<double>(detector.values().begin(), detector.values().end()) ==
          std::vector<double>{7, 6, 5});
}
