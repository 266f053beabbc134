// Writes GGUF files piece by piece, right or wrong: the tests' only writer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hadal::test {

class GgufText {
  public:
    void text(std::string_view key, std::string_view value) {
        begin_value(key, 8);
        put_text(values_, value);
    }
    void integer(std::string_view key, uint32_t value) {
        begin_value(key, 4);
        put(values_, value);
    }
    void number(std::string_view key, float value) {
        begin_value(key, 6);
        put(values_, value);
    }
    void truth(std::string_view key, bool value) {
        begin_value(key, 7);
        values_ += char(value);
    }
    void texts(std::string_view key, const std::vector<std::string>& list) {
        begin_value(key, 9);
        put(values_, uint32_t(8));
        put(values_, uint64_t(list.size()));
        for (const std::string& text : list) put_text(values_, text);
    }
    void integers(std::string_view key, const std::vector<int32_t>& list) {
        begin_value(key, 9);
        put(values_, uint32_t(5));
        put(values_, uint64_t(list.size()));
        for (const int32_t value : list) put(values_, value);
    }

    /// `sizes` fastest first, `type` the format's number.
    void tensor(std::string name, std::vector<uint64_t> sizes, uint32_t type, std::string bytes) {
        tensors_.push_back({std::move(name), std::move(sizes), type, data_bytes_, bytes});
        data_bytes_ += (bytes.size() + alignment_ - 1) / alignment_ * alignment_;
    }
    /// Lets the table give another place than the bytes have.
    void move(std::string_view name, uint64_t offset) {
        for (Line& line : tensors_) {
            if (line.name == name) line.offset = offset;
        }
    }
    /// Where data begins; those added before keep their offsets.
    void set_alignment(uint64_t alignment) {
        alignment_ = alignment;
    }

    std::string file() const {
        std::string file = "GGUF";
        put(file, uint32_t(3));
        put(file, uint64_t(tensors_.size()));
        put(file, num_values_);
        file += values_;
        for (const Line& line : tensors_) {
            put_text(file, line.name);
            put(file, uint32_t(line.sizes.size()));
            for (const uint64_t size : line.sizes) put(file, size);
            put(file, line.type);
            put(file, line.offset);
        }
        for (const Line& line : tensors_) {
            file.resize((file.size() + alignment_ - 1) / alignment_ * alignment_);
            file += line.bytes;
        }
        return file;
    }

  private:
    struct Line {
        std::string name;
        std::vector<uint64_t> sizes;
        uint32_t type;
        uint64_t offset;
        std::string bytes;
    };

    template <class T>
    static void put(std::string& to, T value) {
        to.append(reinterpret_cast<const char*>(&value), sizeof(T));
    }
    static void put_text(std::string& to, std::string_view text) {
        put(to, uint64_t(text.size()));
        to += text;
    }
    void begin_value(std::string_view key, uint32_t type) {
        ++num_values_;
        put_text(values_, key);
        put(values_, type);
    }

    uint64_t alignment_ = 32;
    uint64_t num_values_ = 0;
    uint64_t data_bytes_ = 0;
    std::string values_;
    std::vector<Line> tensors_;
};

}  // namespace hadal::test
