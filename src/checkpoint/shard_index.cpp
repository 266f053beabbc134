#include "checkpoint/shard_index.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

#include "checkpoint/printable.h"
#include "core/error.h"

namespace hadal::checkpoint {

namespace {

[[noreturn]] void corrupt(std::string_view where, const std::string& what) {
    throw Error(Error::Kind::corrupt_file, concat(what, ": ", where));
}

/// Token by token, as for the headers: the index of the 671B model is 9 MB.
class IndexHandler {
  public:
    explicit IndexHandler(std::string_view where) : where_(where) {}

    WeightMap take() {
        if (!seen_) corrupt(where_, "index has no \"weight_map\"");
        return std::move(weight_map_);
    }

    bool key(std::string& name) {
        if (depth_ == 1) {
            in_weight_map_ = name == "weight_map";
            if (in_weight_map_ && std::exchange(seen_, true)) {
                corrupt(where_, "index has two \"weight_map\"");
            }
        }
        key_ = std::move(name);
        return true;
    }
    bool start_object(size_t) {
        if (depth_ == 1) {
            open_ = in_weight_map_;
        } else {
            value();
        }
        ++depth_;
        return true;
    }
    bool end_object() {
        --depth_;
        return true;
    }
    bool start_array(size_t) {
        value();
        ++depth_;
        return true;
    }
    bool end_array() {
        --depth_;
        return true;
    }
    bool string(std::string& file) {
        if (!in_weight_map_) return true;
        if (!open_) value();
        // A name with a path in it could point anywhere on the disk.
        if (file.empty() || file == "." || file == ".." || file.find('/') != std::string::npos ||
            file.find('\0') != std::string::npos) {
            corrupt(where_, concat("index places tensor ", printable(key_), " in ", printable(file),
                                   ", which is no file name"));
        }
        const auto [place, fresh] = weight_map_.try_emplace(std::move(key_), std::move(file));
        if (!fresh) corrupt(where_, concat("index has tensor ", printable(place->first), " twice"));
        return true;
    }
    bool number_unsigned(uint64_t) {
        return value();
    }
    bool number_integer(int64_t) {
        return value();
    }
    bool number_float(double, const std::string&) {
        return value();
    }
    bool null() {
        return value();
    }
    bool boolean(bool) {
        return value();
    }
    bool binary(std::vector<uint8_t>&) {
        return value();
    }
    bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) {
        corrupt(where_, concat("index is not valid JSON at byte ", position));
    }

  private:
    /// Anything but a text, which "weight_map" cannot hold.
    bool value() const {
        if (in_weight_map_) {
            corrupt(where_, concat("index has no file name for tensor ", printable(key_)));
        }
        return true;
    }

    const std::string_view where_;
    WeightMap weight_map_;
    std::string key_;
    int depth_ = 0;
    bool in_weight_map_ = false;
    bool open_ = false;
    bool seen_ = false;
};

}  // namespace

WeightMap parse_shard_index(std::string_view text, std::string_view where) {
    if (text.find('\0') != std::string_view::npos) corrupt(where, "index holds a zero byte");
    IndexHandler handler(where);
    nlohmann::json::sax_parse(text.begin(), text.end(), &handler);
    return handler.take();
}

std::string shard_index_text(const WeightMap& weight_map, int64_t total_bytes) {
    nlohmann::json index;
    index["metadata"]["total_size"] = total_bytes;
    index["weight_map"] = weight_map;
    return index.dump(2) + "\n";
}

}  // namespace hadal::checkpoint
