#include "core/isa.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/error.h"

using namespace hadal;

TEST_CASE("isa: what this machine has is in rising order, without gaps, the best one last") {
    const std::vector<Isa> available = available_isas();
    REQUIRE(!available.empty());
    CHECK(available.front() == Isa::portable);
    CHECK(available.back() == best_isa());
    for (size_t i = 0; i < available.size(); ++i) CHECK(available[i] == Isa(i));
}

TEST_CASE("isa: names are read back; one that the machine lacks, or nobody knows, is refused") {
    const std::vector<Isa> available = available_isas();
    for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512, Isa::amx}) {
        const std::string text(name(isa));
        CAPTURE(text);
        if (std::ranges::find(available, isa) != available.end()) {
            CHECK(parse_isa(text) == isa);
        } else {
            CHECK_THROWS_WITH_AS(parse_isa(text), doctest::Contains(text.c_str()), Error);
        }
    }
    for (const char* text : {"", "AVX2", "avx", "neon", "avx2 "}) {
        CAPTURE(text);
        CHECK_THROWS_WITH_AS(parse_isa(text), doctest::Contains("portable"), Error);
    }
}
