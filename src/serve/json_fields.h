// Reads the fields of a JSON object of a request: each has a type and a range, and whatever is
// wrong with it names it in the error's `param`. An absent field and null are the same.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hadal::serve {

class JsonFields {
  public:
    /// `object` must outlive this; `path` is where it is in the request, e.g. "messages[2]", and
    /// `source` its text, if somebody wants the text of a part. ApiError if it is no object.
    explicit JsonFields(const nlohmann::json& object, std::string path = "",
                        std::string_view source = {});

    /// Null if it is absent.
    const nlohmann::json* find(std::string_view name) const;
    bool has(std::string_view name) const {
        return find(name) != nullptr;
    }
    /// Its full name.
    std::string path(std::string_view name) const;

    std::optional<int64_t> integer(std::string_view name, int64_t least, int64_t most) const;
    std::optional<double> number(std::string_view name, double least, double most) const;
    std::optional<bool> boolean(std::string_view name) const;
    std::optional<std::string> text(std::string_view name, size_t most_bytes) const;
    /// An object of its own; nothing if it is absent.
    std::optional<JsonFields> object(std::string_view name) const;
    /// A member that is there as it was written, with its members in their order.
    std::string source(std::string_view name) const;
    /// An array that is there with all members in the order in which they were written. Its objects
    /// are lists, searched from the front, hence the limits: so many bytes, and members of each.
    std::shared_ptr<const nlohmann::ordered_json> ordered_array(std::string_view name,
                                                                size_t most_bytes) const;
    static constexpr size_t kMostOrderedMembers = 1000;
    /// Null if it is absent.
    const nlohmann::json* array(std::string_view name, size_t most_entries) const;
    /// A text or an array of texts.
    std::vector<std::string> texts(std::string_view name, size_t most_entries,
                                   size_t most_bytes) const;

  private:
    const nlohmann::json& object_;
    std::string path_;
    std::string_view source_;
};

}  // namespace hadal::serve
