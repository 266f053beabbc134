#include "data/document.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json.h"
#include "data/content_hash.h"
#include "data/utf8.h"

namespace hadal::data {

namespace {

constexpr std::string_view kBase64Digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string to_base64(std::string_view bytes) {
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (size_t i = 0; i < bytes.size(); i += 3) {
        const size_t taken = std::min<size_t>(3, bytes.size() - i);
        uint32_t group = 0;
        for (size_t k = 0; k < 3; ++k) {
            group = group << 8 | (k < taken ? uint32_t(uint8_t(bytes[i + k])) : 0);
        }
        for (size_t k = 0; k < 4; ++k) {
            text += k <= taken ? kBase64Digits[group >> (18 - 6 * k) & 63] : '=';
        }
    }
    return text;
}

std::optional<std::string> from_base64(std::string_view text) {
    if (text.size() % 4 != 0) return std::nullopt;
    std::string bytes;
    bytes.reserve(text.size() / 4 * 3);
    for (size_t i = 0; i < text.size(); i += 4) {
        uint32_t group = 0;
        size_t padding = 0;
        for (size_t k = 0; k < 4; ++k) {
            const char c = text[i + k];
            size_t digit = kBase64Digits.find(c);
            if (c == '=' && i + 4 == text.size() && k >= 2) {
                ++padding;
                digit = 0;
            } else if (digit == std::string_view::npos || padding > 0) {
                return std::nullopt;
            }
            group = group << 6 | uint32_t(digit);
        }
        for (size_t k = 0; k + padding < 3; ++k) bytes += char(group >> (16 - 8 * k) & 255);
    }
    return bytes;
}

constexpr std::string_view kMend = " (is its folder there, and room on the disk?)";

using Json = nlohmann::json;

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
    throw Error(Error::Kind::bad_input, concat(what, ": ", where));
}

std::string text_field(const Json& object, const char* key, const std::string& where,
                       std::string fallback) {
    const auto found = object.find(key);
    if (found == object.end()) return fallback;
    if (!found->is_string()) refuse(where, concat("\"", key, "\" must be a string"));
    return found->get<std::string>();
}

std::string content_of(const Json& object, const std::string& where) {
    if (object.contains("text")) return text_field(object, "text", where, "");
    if (!object.contains("base64")) refuse(where, "a document needs a \"text\" field");
    auto bytes = from_base64(text_field(object, "base64", where, ""));
    if (!bytes) refuse(where, "\"base64\" is not valid base64");
    return std::move(*bytes);
}

}  // namespace

std::string_view name(Split split) {
    return split == Split::train ? "train" : "validation";
}

Split split_of(const Document& document, int64_t validation_every) {
    if (document.split) return *document.split;
    if (validation_every <= 0) return Split::train;
    return content_hash(document.text) % uint64_t(validation_every) == 0 ? Split::validation
                                                                         : Split::train;
}

void check_source_name(std::string_view source, const std::string& where) {
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-' || c == '.';
    };
    if (source.empty() || source.size() > 64 || source.front() == '.' ||
        !std::all_of(source.begin(), source.end(), allowed)) {
        refuse(where, concat("source '", is_utf8(source) ? source : "?",
                             "' is not a name of up to 64 letters, digits, '_', '-' and '.'"));
    }
}

std::string to_json_line(const Document& document) {
    nlohmann::ordered_json object;
    if (is_utf8(document.text)) {
        object["text"] = document.text;
    } else {
        object["base64"] = to_base64(document.text);
    }
    object["source"] = document.source;
    if (document.split) object["split"] = name(*document.split);
    if (document.weight != 1) object["weight"] = document.weight;
    if (!document.task.empty()) {
        object["task"] = document.task;
        object["prompt"] = document.prompt;
        object["answer"] = document.answer;
    }
    return object.dump();
}

Document from_json_line(std::string_view line, const std::string& where) {
    const Json object = parse_json(line, where);
    if (!object.is_object()) refuse(where, "a line must be one JSON object");
    Document document;
    document.text = content_of(object, where);
    document.source = text_field(object, "source", where, document.source);
    check_source_name(document.source, where);
    const std::string split = text_field(object, "split", where, "");
    if (split == "train") {
        document.split = Split::train;
    } else if (split == "validation") {
        document.split = Split::validation;
    } else if (!split.empty()) {
        refuse(where, "\"split\" must be \"train\" or \"validation\"");
    }
    if (const auto weight = object.find("weight"); weight != object.end()) {
        if (!weight->is_number() || !(weight->get<double>() > 0)) {
            refuse(where, "\"weight\" must be a positive number");
        }
        document.weight = weight->get<double>();
    }
    document.task = text_field(object, "task", where, "");
    document.prompt = text_field(object, "prompt", where, "");
    document.answer = text_field(object, "answer", where, "");
    return document;
}

DocumentFile DocumentFile::open(const std::filesystem::path& path) {
    DocumentFile file;
    file.map_ = FileMap::open(path);
    std::string_view rest = file.map_->text();
    for (int64_t number = 1; !rest.empty(); ++number) {
        const size_t length = std::min(rest.find('\n'), rest.size());
        const std::string_view line = rest.substr(0, length);
        if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
            file.lines_.push_back({line, number});
        }
        rest.remove_prefix(std::min(length + 1, rest.size()));
    }
    return file;
}

Document DocumentFile::read(int64_t index) const {
    const Line& line = lines_[size_t(index)];
    return from_json_line(line.text, concat(path().string(), " line ", line.number));
}

void DocumentFile::for_each(
    ThreadPool& threads,
    const std::function<void(int64_t index, Document& document)>& visit) const {
    constexpr int64_t kGrain = 16;  // documents are short beside the cost of waking a thread
    threads.parallel_for(size(), kGrain, [&](int64_t i) {
        Document document = read(i);
        visit(i, document);
    });
}

DocumentWriter::DocumentWriter(std::filesystem::path path)
    : path_(std::move(path)), temporary_(path_) {
    temporary_ += concat(".tmp-", ::getpid());
    file_.open(temporary_, std::ios::binary | std::ios::trunc);
    if (!file_) throw Error(Error::Kind::io, concat("cannot write ", path_.string(), kMend));
}

DocumentWriter::~DocumentWriter() {
    if (temporary_.empty()) return;
    file_.close();
    std::error_code ignored;  // a destructor has nobody to tell
    std::filesystem::remove(temporary_, ignored);
}

void DocumentWriter::add(const Document& document) {
    file_ << to_json_line(document) << '\n';
    if (!file_) throw Error(Error::Kind::io, concat("cannot write ", path_.string(), kMend));
}

void DocumentWriter::finish() {
    file_.close();
    std::error_code error;
    if (file_) std::filesystem::rename(temporary_, path_, error);
    if (!file_ || error)
        throw Error(Error::Kind::io, concat("cannot write ", path_.string(), kMend));
    temporary_.clear();
}

}  // namespace hadal::data
