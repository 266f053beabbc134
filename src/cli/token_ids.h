// Token ids as the verbs that take them read them: JSON, every id below the vocabulary's size.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hadal::cli {

/// [1, 2, 3]. Error(bad_input) names `where` and what is no id below `vocab_size`, here and below.
std::vector<int32_t> parse_token_ids(std::string_view json, const std::string& where,
                                     int64_t vocab_size);

/// [[1, 2], [3]], at least one sequence; or one sequence as above.
std::vector<std::vector<int32_t>> parse_token_sequences(std::string_view json,
                                                        const std::string& where,
                                                        int64_t vocab_size);

}  // namespace hadal::cli
