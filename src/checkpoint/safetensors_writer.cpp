#include "checkpoint/safetensors_writer.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "checkpoint/printable.h"

namespace hadal::checkpoint {

namespace {

std::string json_string(const std::string& text) {
    return nlohmann::json(text).dump();
}

std::string shape_list(const Shape& shape) {
    std::string text = "[";
    for (int i = 0; i < shape.rank(); ++i) {
        if (i > 0) text += ',';
        text += std::to_string(shape[i]);
    }
    text += ']';
    return text;
}

/// Written by hand: an ordered JSON object would look every new name up among all the ones before
/// it.
std::string header_text(std::span<const TensorSpec> sorted, const Metadata& metadata) {
    std::string text = "{";
    if (!metadata.empty()) text += "\"__metadata__\":" + nlohmann::json(metadata).dump();
    int64_t position = 0;
    for (const TensorSpec& tensor : sorted) {
        const int64_t end = position + tensor.bytes();
        if (text.size() > 1) text += ',';
        text += json_string(tensor.name);
        text += concat(":{\"dtype\":\"", safetensors_name(tensor.dtype),
                       "\",\"shape\":", shape_list(tensor.shape), ",\"data_offsets\":[", position,
                       ",", end, "]}");
        position = end;
    }
    text += '}';
    text.append((8 - text.size() % 8) % 8, ' ');
    return text;
}

std::string with_length(const std::string& header) {
    std::string bytes;
    for (int i = 0; i < 8; ++i) bytes += char((header.size() >> (8 * i)) & 0xFF);
    return bytes + header;
}

std::filesystem::path temporary_name(const std::filesystem::path& path) {
    return path.string() + concat(".tmp-", ::getpid());
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(std::filesystem::path path,
                                     std::span<const TensorSpec> tensors, const Metadata& metadata)
    : path_(std::move(path)), file_(temporary_name(path_)) {
    std::vector<TensorSpec> sorted(tensors.begin(), tensors.end());
    std::sort(sorted.begin(), sorted.end(), [](const TensorSpec& a, const TensorSpec& b) {
        const int64_t a_width = size_of(a.dtype);
        const int64_t b_width = size_of(b.dtype);
        return a_width != b_width ? a_width > b_width : a.name < b.name;
    });
    header_ = with_length(header_text(sorted, metadata));
    file_.write_at(0, std::as_bytes(std::span(header_)));
    file_bytes_ = int64_t(header_.size());
    for (const TensorSpec& spec : sorted) {
        if (!places_.try_emplace(spec.name, Place{spec, file_bytes_}).second) {
            throw Error(Error::Kind::internal, concat("tensor ", printable(spec.name),
                                                      " is declared twice: ", path_.string()));
        }
        file_bytes_ += spec.bytes();
    }
}

void SafetensorsWriter::add(std::string_view name, const Tensor& tensor) {
    const auto place = places_.find(name);
    if (place == places_.end() || place->second.written) {
        throw Error(Error::Kind::internal,
                    concat("tensor ", printable(name),
                           place == places_.end() ? " is not declared" : " is added twice", ": ",
                           path_.string()));
    }
    require(tensor, place->second.spec.dtype, place->second.spec.shape, name);
    const int64_t offset = place->second.offset;
    if (tensor.contiguous()) {
        file_.write_at(offset, {tensor.data(), size_t(tensor.bytes())});
    } else {
        const int64_t rows = tensor.shape()[0];
        const int64_t row_bytes = tensor.bytes() / rows;
        const int64_t stride = tensor.row_stride() * size_of(tensor.dtype());
        for (int64_t i = 0; i < rows; ++i) {
            file_.write_at(offset + i * row_bytes, {tensor.data() + i * stride, size_t(row_bytes)});
        }
    }
    place->second.written = true;
}

void SafetensorsWriter::finish() {
    for (const auto& [name, place] : places_) {
        if (!place.written) {
            throw Error(Error::Kind::internal,
                        concat("tensor ", printable(name), " was never added: ", path_.string()));
        }
    }
    file_.publish(path_);
}

}  // namespace hadal::checkpoint
