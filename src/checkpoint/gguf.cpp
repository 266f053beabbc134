#include "checkpoint/gguf.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <limits>

#include "checkpoint/printable.h"

namespace hadal::checkpoint {

namespace {

static_assert(std::endian::native == std::endian::little, "GGUF files are read in place");

constexpr std::string_view kMendDownload =
    " (the download may be incomplete: fetch this file again)";
constexpr int64_t kDefaultAlignment = 32;
constexpr int64_t kLargestAlignment = 1 << 20;
constexpr uint32_t kLargestRank = 4;

/// The format's numbers of value types.
enum ValueType : uint32_t {
    kU8 = 0,
    kI8 = 1,
    kU16 = 2,
    kI16 = 3,
    kU32 = 4,
    kI32 = 5,
    kF32 = 6,
    kBool = 7,
    kString = 8,
    kArray = 9,
    kU64 = 10,
    kI64 = 11,
    kF64 = 12,
};

[[noreturn]] void corrupt(std::string_view where, const std::string& what) {
    throw Error(Error::Kind::corrupt_file, concat(what, ": ", where));
}
[[noreturn]] void unsupported(std::string_view where, const std::string& what) {
    throw Error(Error::Kind::unsupported, concat(what, ": ", where));
}

/// Bytes of a value type; 0 for what has no fixed size.
uint64_t size_of_value(uint32_t type) {
    switch (type) {
        case kU8:
        case kI8:
        case kBool:
            return 1;
        case kU16:
        case kI16:
            return 2;
        case kU32:
        case kI32:
        case kF32:
            return 4;
        case kU64:
        case kI64:
        case kF64:
            return 8;
        default:
            return 0;
    }
}

template <class T>
T value_at(const char* bytes) {
    T value;
    std::memcpy(&value, bytes, sizeof(T));
    return value;
}

/// Of one of the integer types; nothing for a u64 beyond i64.
std::optional<int64_t> integer_at(uint32_t type, const char* bytes) {
    switch (type) {
        case kU8:
            return value_at<uint8_t>(bytes);
        case kI8:
            return value_at<int8_t>(bytes);
        case kU16:
            return value_at<uint16_t>(bytes);
        case kI16:
            return value_at<int16_t>(bytes);
        case kU32:
            return value_at<uint32_t>(bytes);
        case kI32:
            return value_at<int32_t>(bytes);
        case kI64:
            return value_at<int64_t>(bytes);
        default: {
            const auto value = value_at<uint64_t>(bytes);
            if (value > uint64_t(std::numeric_limits<int64_t>::max())) return std::nullopt;
            return int64_t(value);
        }
    }
}

double shortest_decimal(float value) {
    char digits[32];
    const auto written = std::to_chars(digits, digits + sizeof digits, value);
    double decimal = double(value);
    std::from_chars(digits, written.ptr, decimal);
    return decimal;
}

/// A position in the file that never passes its end.
class Reader {
  public:
    Reader(std::string_view file, std::string_view where) : file_(file), where_(where) {}

    size_t position() const {
        return position_;
    }
    std::string_view take(uint64_t bytes, std::string_view what) {
        if (bytes > file_.size() - position_) {
            corrupt(where_, concat(what, " at byte ", position_, " needs ", bytes,
                                   " bytes, the file ends at ", file_.size(), kMendDownload));
        }
        const std::string_view taken = file_.substr(position_, size_t(bytes));
        position_ += size_t(bytes);
        return taken;
    }
    template <class T>
    T number(std::string_view what) {
        return value_at<T>(take(sizeof(T), what).data());
    }
    /// u64 length, then as many bytes.
    std::string_view text(std::string_view what) {
        return take(number<uint64_t>(what), what);
    }

    GgufValue value(std::string_view key) {
        const std::string what = concat("the value of ", printable(key));
        const auto type = number<uint32_t>(what);
        if (type == kString) return text(what);
        if (type == kArray) return array(what);
        const uint64_t size = size_of_value(type);
        if (size == 0) corrupt(where_, concat(what, " has the unknown type ", type));
        const char* bytes = take(size, what).data();
        if (type == kBool) return *bytes != 0;
        if (type == kF32) return shortest_decimal(value_at<float>(bytes));
        if (type == kF64) return value_at<double>(bytes);
        if (const auto integer = integer_at(type, bytes)) return *integer;
        corrupt(where_, concat(what, " is larger than any real count"));
    }

  private:
    GgufArray array(const std::string& what) {
        const auto type = number<uint32_t>(what);
        const auto count = number<uint64_t>(what);
        const size_t begin = position_;
        if (type == kArray) unsupported(where_, concat(what, " is a list of lists"));
        if (type == kString) {
            for (uint64_t i = 0; i < count; ++i) text(what);
        } else {
            const uint64_t size = size_of_value(type);
            if (size == 0) corrupt(where_, concat(what, " has the unknown type ", type));
            // Divided, not multiplied: a product could wrap round.
            if (count > file_.size() / size) {
                corrupt(where_, concat(what, " claims ", count,
                                       " elements, more than the file has bytes for"));
            }
            take(count * size, what);
        }
        return {type, int64_t(count), file_.substr(begin, position_ - begin)};
    }

    std::string_view file_;
    std::string_view where_;
    size_t position_ = 0;
};

void check_beginning(Reader& reader, std::string_view where) {
    if (reader.take(4, "the beginning") != "GGUF") {
        corrupt(where, "does not begin with 'GGUF', so it is no GGUF file");
    }
    const auto version = reader.number<uint32_t>("the version");
    if (version == 2 || version == 3) return;
    if (version == 0x02000000u || version == 0x03000000u) {
        unsupported(where, "is a GGUF file for big-endian machines");
    }
    unsupported(where, concat("has GGUF version ", version, ", this build reads 2 and 3"));
}

int64_t bytes_of(const GgufTensor& tensor, std::span<const uint64_t> sizes,
                 std::string_view where) {
    const formats::GgmlBlock block = formats::block_of(tensor.type);
    if (sizes[0] % uint64_t(block.values) != 0) {
        corrupt(where, concat("tensor ", printable(tensor.name), " has rows of ", sizes[0],
                              " values, no multiple of its blocks of ", block.values));
    }
    // A limit that leaves room for any multiplication by the bytes of a block.
    constexpr uint64_t kLimit = uint64_t(1) << 52;
    uint64_t values = 1;
    for (const uint64_t size : sizes) {
        if (size == 0 || size > kLimit / values) {
            corrupt(where, concat("tensor ", printable(tensor.name), " has an impossible shape"));
        }
        values *= size;
    }
    return int64_t(values / uint64_t(block.values)) * block.bytes;
}

/// One line of the table; its offset counts from the beginning of the data yet.
GgufTensor read_tensor(Reader& reader, std::string_view where) {
    GgufTensor tensor;
    tensor.name = reader.text("the name of a tensor");
    const std::string what = concat("the table's line of ", printable(tensor.name));
    const auto rank = reader.number<uint32_t>(what);
    if (rank == 0 || rank > kLargestRank) {
        corrupt(where, concat("tensor ", printable(tensor.name), " has ", rank,
                              " dimensions, the format has 1 to ", kLargestRank));
    }
    uint64_t sizes[kLargestRank] = {};
    for (uint32_t i = 0; i < rank; ++i) sizes[i] = reader.number<uint64_t>(what);
    const auto number = reader.number<uint32_t>(what);
    const auto type = formats::ggml_type(number);
    if (!type) {
        const std::string_view name = formats::ggml_type_name(number);
        unsupported(where, concat("tensor ", printable(tensor.name), " has type ",
                                  name.empty() ? concat("number ", number) : std::string(name),
                                  ", this build reads F32, F16, BF16, Q8_0, Q4_0, Q5_0, Q4_K, "
                                  "Q5_K and Q6_K"));
    }
    tensor.type = *type;
    tensor.bytes = bytes_of(tensor, {sizes, rank}, where);
    std::vector<int64_t> shape(sizes, sizes + rank);
    std::reverse(shape.begin(), shape.end());
    tensor.shape = Shape(std::span<const int64_t>(shape));
    const auto offset = reader.number<uint64_t>(what);
    if (offset > uint64_t(std::numeric_limits<int64_t>::max()) / 2) {
        corrupt(where, concat("tensor ", printable(tensor.name), " lies outside of the file"));
    }
    tensor.offset = int64_t(offset);
    return tensor;
}

int64_t alignment_of(const GgufHeader& header, std::string_view where) {
    const auto found = header.values.find("general.alignment");
    if (found == header.values.end()) return kDefaultAlignment;
    const auto* alignment = std::get_if<int64_t>(&found->second);
    if (alignment == nullptr || *alignment < 1 || *alignment > kLargestAlignment ||
        !std::has_single_bit(uint64_t(*alignment))) {
        corrupt(where, "general.alignment is no power of two up to a million");
    }
    return *alignment;
}

/// Offsets from the start of the file; every tensor inside it and none over another.
void place(GgufHeader& header, int64_t header_bytes, int64_t file_bytes, std::string_view where) {
    const int64_t alignment = alignment_of(header, where);
    const int64_t data = (header_bytes + alignment - 1) / alignment * alignment;
    std::vector<const GgufTensor*> order;
    for (GgufTensor& tensor : header.tensors) {
        if (tensor.offset % alignment != 0) {
            corrupt(where, concat("tensor ", printable(tensor.name), " begins at byte ",
                                  tensor.offset, " of the data, not aligned to ", alignment));
        }
        tensor.offset += data;
        if (tensor.offset > file_bytes || tensor.bytes > file_bytes - tensor.offset) {
            corrupt(where,
                    concat("tensor ", printable(tensor.name), " needs ", tensor.bytes, " bytes at ",
                           tensor.offset, ", the file ends at ", file_bytes, kMendDownload));
        }
        order.push_back(&tensor);
    }
    std::sort(order.begin(), order.end(), [](const GgufTensor* a, const GgufTensor* b) {
        return std::pair(a->offset, a->name) < std::pair(b->offset, b->name);
    });
    for (size_t i = 1; i < order.size(); ++i) {
        if (order[i]->offset < order[i - 1]->offset + order[i - 1]->bytes) {
            corrupt(where, concat("tensor ", printable(order[i]->name), " overlaps ",
                                  printable(order[i - 1]->name)));
        }
    }
}

/// "-00001-of-00003.gguf"
std::string part_suffix(int64_t part, int64_t count) {
    char suffix[64];
    std::snprintf(suffix, sizeof suffix, "-%05lld-of-%05lld.gguf", static_cast<long long>(part),
                  static_cast<long long>(count));
    return suffix;
}

/// The files of the model of which `path` is part number `part`, of `count`.
std::vector<std::filesystem::path> parts_of(const std::filesystem::path& path, int64_t part,
                                            int64_t count) {
    const std::string name = path.filename().string();
    const std::string suffix = part_suffix(part, count);
    if (!name.ends_with(suffix)) {
        throw Error(Error::Kind::bad_input,
                    concat("is part ", part, " of ", count, " of a model, but its name does not ",
                           "end with '", suffix, "', so the others cannot be found: ",
                           path.string(), " (give the files their names back)"));
    }
    std::vector<std::filesystem::path> parts;
    for (int64_t i = 1; i <= count; ++i) {
        parts.push_back(path.parent_path() /
                        (name.substr(0, name.size() - suffix.size()) + part_suffix(i, count)));
    }
    return parts;
}

}  // namespace

GgufHeader parse_gguf(std::span<const std::byte> file, std::string_view where) {
    Reader reader({reinterpret_cast<const char*>(file.data()), file.size()}, where);
    check_beginning(reader, where);
    const auto num_tensors = reader.number<uint64_t>("the number of tensors");
    const auto num_values = reader.number<uint64_t>("the number of keys");
    GgufHeader header;
    // Nothing is reserved by these counts: each turn takes bytes, so a lie ends with the file.
    for (uint64_t i = 0; i < num_values; ++i) {
        const std::string_view key = reader.text("a key");
        if (!header.values.try_emplace(key, reader.value(key)).second) {
            corrupt(where, concat("key ", printable(key), " is given twice"));
        }
    }
    for (uint64_t i = 0; i < num_tensors; ++i) {
        header.tensors.push_back(read_tensor(reader, where));
    }
    if (!header.tensors.empty()) {
        place(header, int64_t(reader.position()), int64_t(file.size()), where);
    }
    return header;
}

Gguf Gguf::open(const std::filesystem::path& path) {
    Gguf model;
    model.add_file(path);
    const int64_t count = model.integer("split.count").value_or(1);
    if (count <= 1) return model;
    const int64_t part = model.integer("split.no").value_or(0) + 1;
    if (count > 99'999 || part < 1 || part > count) {
        corrupt(path.string(), concat("split.no is ", part - 1, " and split.count ", count));
    }
    Gguf whole;
    for (const auto& file : parts_of(path, part, count)) whole.add_file(file);
    const auto expected = whole.integer("split.tensors.count");
    if (expected && *expected != int64_t(whole.tensors_.size())) {
        corrupt(path.string(), concat("the parts hold ", whole.tensors_.size(),
                                      " tensors, the first says ", *expected, kMendDownload));
    }
    return whole;
}

void Gguf::add_file(const std::filesystem::path& path) {
    files_.push_back(FileMap::open(path));
    GgufHeader header = parse_gguf(files_.back()->bytes(), path.string());
    if (files_.size() == 1) values_ = std::move(header.values);
    for (GgufTensor& tensor : header.tensors) {
        tensor.file = int32_t(files_.size()) - 1;
        if (!by_name_.try_emplace(tensor.name, tensors_.size()).second) {
            corrupt(path.string(), concat("tensor ", printable(tensor.name), " is given twice"));
        }
        tensors_.push_back(tensor);
    }
}

const GgufTensor* Gguf::find(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

template <class T>
const T* Gguf::value(std::string_view key, std::string_view wanted) const {
    const auto found = values_.find(key);
    if (found == values_.end()) return nullptr;
    if (const T* value = std::get_if<T>(&found->second)) return value;
    corrupt(path().string(), concat("key ", printable(key), " is not ", wanted));
}

Tensor Gguf::view(const GgufTensor& tensor, int64_t part) const {
    HADAL_ASSERT(tensor.type == formats::GgmlType::f32 || tensor.type == formats::GgmlType::bf16);
    const DType dtype = tensor.type == formats::GgmlType::f32 ? DType::f32 : DType::bf16;
    // Mapped read-only, as every Tensor over a file.
    auto* data = const_cast<std::byte*>(bytes(tensor).data());
    const Tensor all = Tensor::over(data, tensor.shape, dtype, files_[size_t(tensor.file)]);
    if (part < 0) return all;
    return Tensor::over(data + part * (tensor.bytes / tensor.shape[0]),
                        {tensor.shape[1], tensor.shape[2]}, dtype, files_[size_t(tensor.file)]);
}

std::optional<bool> Gguf::truth(std::string_view key) const {
    const bool* found = value<bool>(key, "true or false");
    return found == nullptr ? std::nullopt : std::optional(*found);
}

std::optional<int64_t> Gguf::integer(std::string_view key) const {
    const int64_t* found = value<int64_t>(key, "a whole number");
    return found == nullptr ? std::nullopt : std::optional(*found);
}

std::optional<double> Gguf::number(std::string_view key) const {
    const double* found = value<double>(key, "a number with a fraction");
    return found == nullptr ? std::nullopt : std::optional(*found);
}

std::optional<std::string_view> Gguf::text(std::string_view key) const {
    const auto* found = value<std::string_view>(key, "a text");
    return found == nullptr ? std::nullopt : std::optional(*found);
}

std::optional<std::vector<int64_t>> Gguf::integers(std::string_view key) const {
    const auto* array = value<GgufArray>(key, "a list");
    if (array == nullptr) return std::nullopt;
    std::vector<int64_t> integers;
    const uint64_t size = size_of_value(array->type);
    if (size == 0 || array->type == kBool || array->type == kF32 || array->type == kF64) {
        corrupt(path().string(), concat("key ", printable(key), " is no list of whole numbers"));
    }
    for (int64_t i = 0; i < array->count; ++i) {
        const auto integer = integer_at(array->type, array->bytes.data() + uint64_t(i) * size);
        integers.push_back(integer.value_or(std::numeric_limits<int64_t>::max()));
    }
    return integers;
}

std::optional<std::vector<std::string_view>> Gguf::texts(std::string_view key) const {
    const auto* array = value<GgufArray>(key, "a list");
    if (array == nullptr) return std::nullopt;
    if (array->type != kString) {
        corrupt(path().string(), concat("key ", printable(key), " is no list of texts"));
    }
    std::vector<std::string_view> texts;
    Reader reader(array->bytes, path().native());
    for (int64_t i = 0; i < array->count; ++i) texts.push_back(reader.text(key));
    return texts;
}

}  // namespace hadal::checkpoint
