#include "checkpoint/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <utility>

#include "checkpoint/printable.h"

namespace hadal::checkpoint {

namespace {

constexpr uint64_t kLongestHeader = 100'000'000;  // the limit of the format's first implementation
constexpr std::string_view kMendDownload =
    " (the download may be incomplete: fetch this file again)";

constexpr std::pair<std::string_view, DType> kTypes[] = {{"F64", DType::f64},
                                                         {"F32", DType::f32},
                                                         {"BF16", DType::bf16},
                                                         {"F16", DType::f16},
                                                         {"F8_E4M3", DType::f8_e4m3},
                                                         {"F8_E5M2", DType::f8_e5m2},
                                                         {"I64", DType::i64},
                                                         {"I32", DType::i32},
                                                         {"I16", DType::i16},
                                                         {"I8", DType::i8},
                                                         {"U8", DType::u8}};

[[noreturn]] void corrupt(std::string_view where, const std::string& what) {
    throw Error(Error::Kind::corrupt_file, concat(what, ": ", where));
}

/// One tensor as the header writes it; offsets count from the end of the header.
struct Entry {
    std::optional<DType> dtype;
    std::optional<std::vector<uint64_t>> shape;
    std::optional<std::vector<uint64_t>> offsets;
};

/// Receives the header's JSON token by token: no tree is built (a 671B model's headers are 12 MB),
/// and a key that comes twice is seen.
class HeaderHandler {
  public:
    HeaderHandler(SafetensorsHeader& header, uint64_t data_begin, uint64_t data_bytes,
                  std::string_view where)
        : header_(header), data_begin_(data_begin), data_bytes_(data_bytes), where_(where) {}

    bool key(std::string& name) {
        switch (place_) {
            case Place::top:
                return begin_entry(name);
            case Place::metadata:
                if (!header_.metadata.try_emplace(name).second) {
                    corrupt(where_, concat("metadata key ", printable(name), " is given twice"));
                }
                break;
            default:
                break;
        }
        key_ = std::move(name);
        return true;
    }

    bool start_object(size_t) {
        if (place_ == Place::start) {
            place_ = Place::top;
        } else if (place_ == Place::top) {
            place_ = in_metadata_ ? Place::metadata : Place::tensor;
        } else {
            misplaced("an object");
        }
        return true;
    }
    bool end_object() {
        if (place_ == Place::tensor) finish_entry();
        place_ = place_ == Place::top ? Place::start : Place::top;
        return true;
    }

    bool start_array(size_t) {
        if (place_ != Place::tensor) misplaced("a list");
        auto* list = key_ == "shape"          ? &entry_.shape
                     : key_ == "data_offsets" ? &entry_.offsets
                                              : nullptr;
        if (list == nullptr || *list) misplaced("a list");
        *list = std::vector<uint64_t>();
        list_ = &**list;
        place_ = Place::list;
        return true;
    }
    bool end_array() {
        place_ = Place::tensor;
        return true;
    }

    bool number_unsigned(uint64_t value) {
        if (place_ != Place::list) misplaced("a number");
        list_->push_back(value);
        return true;
    }
    bool number_integer(int64_t) {
        misplaced("a negative number");
    }
    bool number_float(double, const std::string&) {
        misplaced("a number that is no whole number or is too large");
    }
    bool string(std::string& value) {
        if (place_ == Place::metadata) {
            header_.metadata[key_] = std::move(value);
        } else if (place_ == Place::tensor && key_ == "dtype" && !entry_.dtype) {
            entry_.dtype = type_named(value);
        } else {
            misplaced("a text");
        }
        return true;
    }
    bool null() {
        misplaced("null");
    }
    bool boolean(bool) {
        misplaced("a truth value");
    }
    bool binary(std::vector<uint8_t>&) {
        misplaced("binary data");
    }
    bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) {
        corrupt(where_, concat("header is not valid JSON at byte ", position, kMendDownload));
    }

  private:
    enum class Place { start, top, metadata, tensor, list };

    bool begin_entry(std::string& name) {
        in_metadata_ = name == "__metadata__";
        if (in_metadata_ && std::exchange(metadata_seen_, true)) {
            corrupt(where_, "header has two __metadata__");
        }
        name_ = std::move(name);
        entry_ = {};
        key_.clear();
        return true;
    }

    [[noreturn]] void misplaced(std::string_view found) const {
        corrupt(where_,
                concat("header has ", found, " in a place that takes none, at ", printable(name_),
                       key_.empty() ? "" : " ", key_.empty() ? "" : printable(key_)));
    }

    DType type_named(std::string_view text) const {
        for (const auto& [type_name, dtype] : kTypes) {
            if (type_name == text) return dtype;
        }
        throw Error(
            Error::Kind::unsupported,
            concat("tensor ", printable(name_), " has type ", printable(text),
                   ", which is not one of F64 F32 BF16 F16 F8_E4M3 I64 I32 I16 I8 U8: ", where_));
    }

    void finish_entry() {
        if (!entry_.dtype || !entry_.shape || !entry_.offsets) {
            corrupt(where_, concat("tensor ", printable(name_), " lacks its ",
                                   !entry_.dtype   ? "dtype"
                                   : !entry_.shape ? "shape"
                                                   : "data_offsets"));
        }
        const std::vector<uint64_t>& offsets = *entry_.offsets;
        if (offsets.size() != 2 || offsets[0] > offsets[1]) {
            corrupt(where_, concat("tensor ", printable(name_),
                                   " has data_offsets that are not [begin, end]"));
        }
        if (offsets[1] > data_bytes_) {
            corrupt(where_, concat("tensor ", printable(name_), " ends at byte ", offsets[1],
                                   " of the data, which has ", data_bytes_, kMendDownload));
        }
        const Shape shape = checked_shape(*entry_.shape, *entry_.dtype, offsets[1] - offsets[0]);
        header_.tensors.push_back({.name = std::move(name_),
                                   .dtype = *entry_.dtype,
                                   .shape = shape,
                                   .offset = int64_t(data_begin_ + offsets[0])});
    }

    /// Multiplies with a check at every step: a product that wrapped round could equal the size by
    /// accident.
    Shape checked_shape(const std::vector<uint64_t>& sizes, DType dtype, uint64_t bytes) const {
        if (sizes.size() > size_t(Shape::kMaxRank)) {
            throw Error(
                Error::Kind::unsupported,
                concat("tensor ", printable(name_), " has ", sizes.size(), " dimensions, at most ",
                       Shape::kMaxRank, " are supported: ", where_));
        }
        constexpr auto kLimit = uint64_t(std::numeric_limits<int64_t>::max());
        std::vector<int64_t> shape;
        uint64_t needed = uint64_t(size_of(dtype));
        bool has_zero = false;
        for (const uint64_t size : sizes) {
            if (size > kLimit || (size > 0 && size > kLimit / needed)) {
                corrupt(where_, concat("tensor ", printable(name_), " has an impossible shape"));
            }
            if (size == 0) has_zero = true;
            if (size > 0) needed *= size;
            shape.push_back(int64_t(size));
        }
        if (has_zero) needed = 0;
        if (needed != bytes) {
            corrupt(where_, concat("tensor ", printable(name_), " needs ", needed,
                                   " bytes by its shape and type, the header gives it ", bytes));
        }
        return Shape(std::span<const int64_t>(shape));
    }

    SafetensorsHeader& header_;
    const uint64_t data_begin_;
    const uint64_t data_bytes_;
    const std::string_view where_;
    Place place_ = Place::start;
    bool in_metadata_ = false;
    bool metadata_seen_ = false;
    std::string name_;
    std::string key_;
    Entry entry_;
    std::vector<uint64_t>* list_ = nullptr;
};

/// Each tensor begins where the one before ends, the last ends with the file: no overlap, no hidden
/// bytes.
void check_layout(std::vector<TensorInfo>& tensors, int64_t begin, int64_t end,
                  std::string_view where) {
    std::sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
        return std::pair(a.offset, a.offset + a.bytes()) <
               std::pair(b.offset, b.offset + b.bytes());
    });
    int64_t position = begin;
    for (const TensorInfo& tensor : tensors) {
        if (tensor.offset != position) {
            corrupt(where, concat("tensor ", printable(tensor.name),
                                  tensor.offset < position ? " overlaps the one before it"
                                                           : " leaves unused bytes before it"));
        }
        position += tensor.bytes();
    }
    if (position != end) {
        corrupt(where, concat(end - position, " bytes follow the last tensor and belong to none"));
    }
}

std::vector<int32_t> sorted_by_name(const std::vector<TensorInfo>& tensors,
                                    std::string_view where) {
    std::vector<int32_t> order(tensors.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
        return tensors[size_t(a)].name < tensors[size_t(b)].name;
    });
    for (size_t i = 1; i < order.size(); ++i) {
        const std::string& tensor = tensors[size_t(order[i])].name;
        if (tensor == tensors[size_t(order[i - 1])].name) {
            corrupt(where, concat("tensor ", printable(tensor), " is given twice"));
        }
    }
    return order;
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                           std::string_view where) {
    if (file.size() < 8) {
        corrupt(where, concat("file of ", file.size(), " bytes is no safetensors file"));
    }
    uint64_t header_bytes = 0;
    for (size_t i = 0; i < 8; ++i) header_bytes |= uint64_t(file[i]) << (8 * i);
    if (header_bytes > kLongestHeader) {
        corrupt(where, concat("header claims ", header_bytes,
                              " bytes, more than any safetensors file has"));
    }
    if (header_bytes > file.size() - 8) {
        corrupt(where, concat("header of ", header_bytes, " bytes does not fit into the file of ",
                              file.size(), " bytes", kMendDownload));
    }
    const std::string_view text(reinterpret_cast<const char*>(file.data()) + 8, header_bytes);
    if (!text.starts_with('{')) corrupt(where, "header does not begin with '{'");
    // The parser would take a zero byte for the end of the text.
    if (text.find('\0') != std::string_view::npos) corrupt(where, "header holds a zero byte");

    SafetensorsHeader header;
    HeaderHandler handler(header, 8 + header_bytes, file.size() - 8 - header_bytes, where);
    nlohmann::json::sax_parse(text.begin(), text.end(), &handler);
    check_layout(header.tensors, int64_t(8 + header_bytes), int64_t(file.size()), where);
    header.by_name = sorted_by_name(header.tensors, where);
    return header;
}

std::string_view safetensors_name(DType dtype) {
    for (const auto& [text, type] : kTypes) {
        if (type == dtype) return text;
    }
    return "?";
}

Safetensors Safetensors::open(const std::filesystem::path& path) {
    Safetensors file;
    file.map_ = FileMap::open(path);
    file.header_ = parse_safetensors_header(file.map_->bytes(), path.string());
    return file;
}

const TensorInfo* Safetensors::find(std::string_view name) const {
    const std::vector<int32_t>& order = header_.by_name;
    const auto place = std::lower_bound(order.begin(), order.end(), name,
                                        [&](int32_t index, std::string_view wanted) {
                                            return header_.tensors[size_t(index)].name < wanted;
                                        });
    if (place == order.end()) return nullptr;
    const TensorInfo& info = header_.tensors[size_t(*place)];
    return info.name == name ? &info : nullptr;
}

Tensor Safetensors::load(std::string_view name) const {
    const TensorInfo* info = find(name);
    if (info == nullptr) {
        corrupt(path().string(), concat("tensor ", printable(name), " is missing"));
    }
    return load(*info);
}

Tensor Safetensors::load(const TensorInfo& info) const {
    const std::byte* data = map_->bytes().data() + info.offset;
    if (info.offset % size_of(info.dtype) == 0) {
        return Tensor::over(const_cast<std::byte*>(data), info.shape, info.dtype, map_);
    }
    Tensor copy = Tensor::uninitialized(info.shape, info.dtype);
    if (info.bytes() > 0) std::memcpy(copy.data(), data, size_t(info.bytes()));
    return copy;
}

}  // namespace hadal::checkpoint
