#include "core/processor_share.h"

#include <doctest/doctest.h>

using hadal::ProcessorShare;
using std::chrono::microseconds;
using std::chrono::milliseconds;

TEST_CASE("processor_share: a long absence counts as another program's, for a while") {
    ProcessorShare share;
    const ProcessorShare::Clock::time_point begin{};
    CHECK_FALSE(share.is_contended(begin));
    share.learn(begin, begin + microseconds(299));  // as long as the system's own tasks take
    CHECK_FALSE(share.is_contended(begin + microseconds(299)));
    const auto back = begin + milliseconds(3);
    share.learn(begin, back);
    CHECK(share.is_contended(back));
    CHECK(share.is_contended(back + milliseconds(99)));
    CHECK_FALSE(share.is_contended(back + milliseconds(100)));
}

TEST_CASE("processor_share: short absences afterwards neither prolong nor end it") {
    ProcessorShare share;
    const ProcessorShare::Clock::time_point begin{};
    share.learn(begin, begin + milliseconds(1));
    share.learn(begin + milliseconds(50), begin + milliseconds(50) + microseconds(20));
    CHECK(share.is_contended(begin + milliseconds(100)));
    CHECK_FALSE(share.is_contended(begin + milliseconds(101)));
}
