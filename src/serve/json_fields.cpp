#include "serve/json_fields.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"
#include "serve/api_error.h"
#include "serve/json_source.h"

namespace hadal::serve {

namespace {

using nlohmann::json;

[[noreturn]] void refuse(const std::string& path, std::string_view wanted) {
    throw ApiError::field(path, concat("'", path, "' must be ", wanted));
}

std::string checked_text(const json& value, const std::string& path, size_t most_bytes) {
    if (!value.is_string()) refuse(path, "a string");
    const auto& text = value.get_ref<const std::string&>();
    if (text.size() > most_bytes) refuse(path, concat("at most ", most_bytes, " bytes long"));
    return text;
}

/// Members of the largest object inside.
size_t most_members(const json& value) {
    size_t most = value.is_object() ? value.size() : 0;
    for (const json& part : value) {
        if (part.is_structured()) most = std::max(most, most_members(part));
    }
    return most;
}

}  // namespace

JsonFields::JsonFields(const json& object, std::string path, std::string_view source)
    : object_(object), path_(std::move(path)), source_(source) {
    if (!object.is_object()) {
        if (path_.empty()) throw ApiError(400, "the request's body must be a JSON object");
        refuse(path_, "an object");
    }
}

const json* JsonFields::find(std::string_view name) const {
    const auto found = object_.find(name);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::string JsonFields::path(std::string_view name) const {
    return path_.empty() ? std::string(name) : concat(path_, ".", name);
}

std::optional<int64_t> JsonFields::integer(std::string_view name, int64_t least,
                                           int64_t most) const {
    const json* value = find(name);
    if (value == nullptr) return {};
    const bool too_large = value->is_number_unsigned() && value->get<uint64_t>() > uint64_t(most);
    if (!value->is_number_integer()) refuse(path(name), "an integer");
    const auto integer = value->get<int64_t>();
    if (too_large || integer < least || integer > most) {
        refuse(path(name), concat("from ", least, " to ", most));
    }
    return integer;
}

std::optional<double> JsonFields::number(std::string_view name, double least, double most) const {
    const json* value = find(name);
    if (value == nullptr) return {};
    if (!value->is_number()) refuse(path(name), "a number");
    const auto number = value->get<double>();
    if (!(number >= least && number <= most)) {
        refuse(path(name), concat("from ", least, " to ", most));
    }
    return number;
}

std::optional<bool> JsonFields::boolean(std::string_view name) const {
    const json* value = find(name);
    if (value == nullptr) return {};
    if (!value->is_boolean()) refuse(path(name), "true or false");
    return value->get<bool>();
}

std::optional<std::string> JsonFields::text(std::string_view name, size_t most_bytes) const {
    const json* value = find(name);
    if (value == nullptr) return {};
    return checked_text(*value, path(name), most_bytes);
}

std::optional<JsonFields> JsonFields::object(std::string_view name) const {
    const json* value = find(name);
    if (value == nullptr) return {};
    return JsonFields(*value, path(name), member_source(source_, name));
}

std::string JsonFields::source(std::string_view name) const {
    const std::string_view written = member_source(source_, name);
    return written.empty() ? object_.at(std::string(name)).dump() : std::string(written);
}

std::shared_ptr<const nlohmann::ordered_json> JsonFields::ordered_array(std::string_view name,
                                                                        size_t most_bytes) const {
    const std::string text = source(name);
    if (text.size() > most_bytes || most_members(*find(name)) > kMostOrderedMembers) {
        refuse(path(name),
               concat("at most ", most_bytes, " bytes long, and an object in it may have ",
                      kMostOrderedMembers, " members"));
    }
    return std::make_shared<const nlohmann::ordered_json>(nlohmann::ordered_json::parse(text));
}

const json* JsonFields::array(std::string_view name, size_t most_entries) const {
    const json* value = find(name);
    if (value == nullptr) return nullptr;
    if (!value->is_array()) refuse(path(name), "an array");
    if (value->size() > most_entries) {
        refuse(path(name), concat("an array of at most ", most_entries, " entries"));
    }
    return value;
}

std::vector<std::string> JsonFields::texts(std::string_view name, size_t most_entries,
                                           size_t most_bytes) const {
    const json* value = find(name);
    if (value == nullptr) return {};
    if (value->is_string()) return {checked_text(*value, path(name), most_bytes)};
    if (!value->is_array()) refuse(path(name), "a string or an array of strings");
    std::vector<std::string> all;
    const json& entries = *array(name, most_entries);
    for (size_t i = 0; i < entries.size(); ++i) {
        all.push_back(checked_text(entries[i], concat(path(name), "[", i, "]"), most_bytes));
    }
    return all;
}

}  // namespace hadal::serve
