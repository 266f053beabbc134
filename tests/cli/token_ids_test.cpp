#include "cli/token_ids.h"

#include <doctest/doctest.h>

#include "core/error.h"

using namespace hadal;
using namespace hadal::cli;

namespace {

using Sequences = std::vector<std::vector<int32_t>>;

std::string refusal_of_ids(std::string_view json) {
    try {
        parse_token_ids(json, "ids.json", 100);
    } catch (const Error& error) {
        CHECK(error.kind() == Error::Kind::bad_input);
        return error.what();
    }
    return "";
}

std::string refusal_of_sequences(std::string_view json) {
    try {
        parse_token_sequences(json, "ids.json", 100);
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("token ids: a list, empty or not, up to the last id of the vocabulary") {
    CHECK(parse_token_ids("[0, 7, 99]", "ids.json", 100) == std::vector<int32_t>{0, 7, 99});
    CHECK(parse_token_ids(" [ ] ", "ids.json", 100).empty());
}

TEST_CASE("token ids: what is no id is shown with the file and the bound") {
    for (const char* id : {"100", "-1", "2.5", "1e1", "\"3\"", "null", "[1]", "9223372036854775807",
                           "18446744073709551615", "99999999999999999999"}) {
        CAPTURE(id);
        const std::string message = refusal_of_ids(concat("[1, ", id, "]"));
        CHECK(message.find("ids.json") != std::string::npos);
        CHECK(message.find("is no token id below 100") != std::string::npos);
    }
    for (const char* other : {"7", "{}", "\"1 2\"", "null"}) {
        CAPTURE(other);
        CHECK(refusal_of_ids(other).find("ids.json is no array") != std::string::npos);
    }
}

TEST_CASE("token ids: one sequence may stand for a list of one") {
    CHECK(parse_token_sequences("[[1, 2], [3], []]", "ids.json", 100) ==
          Sequences{{1, 2}, {3}, {}});
    CHECK(parse_token_sequences("[1, 2]", "ids.json", 100) == Sequences{{1, 2}});
}

TEST_CASE("token ids: a bad sequence is named by its number") {
    CHECK(refusal_of_sequences("[[1], [2, 100]]").find("sequence 1: 100 is no token id") !=
          std::string::npos);
    CHECK(refusal_of_sequences("[[1], 2]").find("sequence 1 is no array") != std::string::npos);
    CHECK(refusal_of_sequences("[1, [2]]").find("[2] is no token id") != std::string::npos);
    CHECK(refusal_of_sequences("[]").find("array of arrays") != std::string::npos);
    CHECK(refusal_of_sequences("3").find("array of arrays") != std::string::npos);
}
