#include "cli/token_ids.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json.h"

namespace hadal::cli {

namespace {

std::vector<int32_t> ids_of(const nlohmann::json& list, const std::string& where,
                            int64_t vocab_size) {
    if (!list.is_array()) {
        throw Error(Error::Kind::bad_input,
                    concat(where, " is no array of token ids (as [1, 2, 3])"));
    }
    std::vector<int32_t> ids;
    for (const nlohmann::json& id : list) {
        // A number of 64 bits without sign would come out of get() negative, and be refused too.
        if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= vocab_size) {
            throw Error(Error::Kind::bad_input,
                        concat(where, ": ", id.dump(), " is no token id below ", vocab_size,
                               ", the vocabulary's size"));
        }
        ids.push_back(id.get<int32_t>());
    }
    return ids;
}

}  // namespace

std::vector<int32_t> parse_token_ids(std::string_view json, const std::string& where,
                                     int64_t vocab_size) {
    return ids_of(parse_json(json, where), where, vocab_size);
}

std::vector<std::vector<int32_t>> parse_token_sequences(std::string_view json,
                                                        const std::string& where,
                                                        int64_t vocab_size) {
    const nlohmann::json list = parse_json(json, where);
    if (!list.is_array() || list.empty()) {
        throw Error(Error::Kind::bad_input,
                    concat(where, ": must be a JSON array of arrays of token ids"));
    }
    if (!list[0].is_array()) return {ids_of(list, where, vocab_size)};
    std::vector<std::vector<int32_t>> sequences;
    for (const nlohmann::json& ids : list) {
        sequences.push_back(
            ids_of(ids, concat(where, ": sequence ", sequences.size()), vocab_size));
    }
    return sequences;
}

}  // namespace hadal::cli
