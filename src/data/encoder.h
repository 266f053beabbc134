// What packing needs of a tokenizer: so that packing can be tested, and done, with any.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hadal::text {
class Tokenizer;
}

namespace hadal::data {

struct Encoder {
    /// Any bytes, special tokens spelled in them taken as text. Called from several threads.
    std::function<std::vector<int32_t>(std::string_view)> encode;
    int64_t vocab_size = 0;
    std::optional<int32_t> bos = {};  // put before each document, because generation begins with it
    int32_t eos = 0;
    struct MiddleMarkers {
        int32_t begin;
        int32_t hole;
        int32_t end;
    };
    std::optional<MiddleMarkers> middle = {};
    std::string hash = {};  // of tokenizer.json
};

/// A tokenizer's, which must outlive it. Error(bad_input) if it has no end of sentence.
Encoder encoder_of(const text::Tokenizer& tokenizer);

}  // namespace hadal::data
