#include "data/packed_corpus.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file_map.h"
#include "core/json.h"

namespace hadal::data {

namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;  // written in the order a person reads

constexpr const char* kFormat = "hadal packed corpus 1";

OrderedJson to_json(const PackedSplit& split) {
    return {{"documents", split.documents},
            {"tokens", split.tokens},
            {"text_bytes", split.text_bytes},
            {"hash", split.hash}};
}

/// Reads fields of the manifest; every complaint names file and field.
class Fields {
  public:
    Fields(const Json& object, const std::filesystem::path& path) : object_(object), path_(path) {
        if (!object.is_object()) refuse("an entry is no object");
    }

    template <class T>
    T get(const char* key) const {
        const auto found = object_.find(key);
        if (found == object_.end()) refuse(concat("\"", key, "\" is missing"));
        bool right;
        if constexpr (std::is_same_v<T, std::string>) {
            right = found->is_string();
        } else if constexpr (std::is_same_v<T, double>) {
            right = found->is_number() && found->template get<double>() >= 0;
        } else {
            right = found->is_number_unsigned();
        }
        if (!right) refuse(concat("\"", key, "\" has the wrong type or is negative"));
        return found->template get<T>();
    }
    const Json* find(const char* key) const {
        const auto found = object_.find(key);
        return found == object_.end() ? nullptr : &*found;
    }
    [[noreturn]] void refuse(const std::string& what) const {
        throw Error(Error::Kind::corrupt_file, concat("manifest: ", what, ": ", path_.string(),
                                                      " (pack the documents again)"));
    }

  private:
    const Json& object_;
    const std::filesystem::path& path_;
};

std::optional<PackedSplit> read_split(const Fields& source, const char* key,
                                      const std::filesystem::path& path) {
    const Json* object = source.find(key);
    if (object == nullptr) return std::nullopt;
    const Fields fields(*object, path);
    return PackedSplit{.documents = fields.get<int64_t>("documents"),
                       .tokens = fields.get<int64_t>("tokens"),
                       .text_bytes = fields.get<int64_t>("text_bytes"),
                       .hash = fields.get<std::string>("hash")};
}

}  // namespace

PackedCorpus PackedCorpus::open(const std::filesystem::path& folder) {
    const std::filesystem::path path = folder / "manifest.json";
    const Json manifest = parse_json(read_file(path), path.string());
    const Fields fields(manifest, path);
    if (fields.get<std::string>("format") != kFormat) {
        fields.refuse(concat("\"format\" is not \"", kFormat, "\""));
    }
    PackedCorpus corpus;
    corpus.folder = folder;
    corpus.vocab_size = fields.get<int64_t>("vocab_size");
    corpus.tokenizer_hash = fields.get<std::string>("tokenizer_hash");
    corpus.middle_rate = fields.get<double>("fill_in_middle_rate");
    corpus.seed = fields.get<uint64_t>("seed");
    const Json* sources = fields.find("sources");
    if (sources == nullptr || !sources->is_array() || sources->empty()) {
        fields.refuse("\"sources\" is not a list of at least one source");
    }
    for (const Json& entry : *sources) {
        const Fields source(entry, path);
        corpus.sources.push_back({.name = source.get<std::string>("name"),
                                  .weight = source.get<double>("weight"),
                                  .train = read_split(source, "train", path),
                                  .validation = read_split(source, "validation", path)});
        check_source_name(corpus.sources.back().name, path.string());  // it becomes a file name
    }
    return corpus;
}

void PackedCorpus::write(const std::filesystem::path& to) const {
    OrderedJson manifest;
    manifest["format"] = kFormat;
    manifest["vocab_size"] = vocab_size;
    manifest["tokenizer_hash"] = tokenizer_hash;
    manifest["fill_in_middle_rate"] = middle_rate;
    manifest["seed"] = seed;
    for (const Split split : {Split::train, Split::validation}) {
        OrderedJson sum = to_json(total(split));
        sum.erase("hash");
        manifest[std::string(name(split))] = sum;
    }
    manifest["sources"] = OrderedJson::array();
    for (const PackedSource& source : sources) {
        OrderedJson entry = {{"name", source.name}, {"weight", source.weight}};
        if (source.train) entry["train"] = to_json(*source.train);
        if (source.validation) entry["validation"] = to_json(*source.validation);
        manifest["sources"].push_back(entry);
    }
    write_file_atomically(to / "manifest.json", manifest.dump(2) + "\n");
}

std::vector<MixtureSource> PackedCorpus::training() const {
    std::vector<MixtureSource> mixture;
    for (const PackedSource& source : sources) {
        if (!source.train) continue;
        mixture.push_back({.path = set_path(source, Split::train),
                           .weight = source.weight * double(source.train->tokens)});
    }
    return mixture;
}

std::vector<std::filesystem::path> PackedCorpus::validation(int64_t seq_len) const {
    std::vector<std::filesystem::path> paths;
    for (const PackedSource& source : sources) {
        if (source.validation && source.validation->tokens > seq_len) {
            paths.push_back(set_path(source, Split::validation));
        }
    }
    return paths;
}

PackedSplit PackedCorpus::total(Split which) const {
    PackedSplit total;
    for (const PackedSource& source : sources) {
        if (const auto& split = source.split(which)) {
            total.documents += split->documents;
            total.tokens += split->tokens;
            total.text_bytes += split->text_bytes;
        }
    }
    return total;
}

std::filesystem::path PackedCorpus::set_path(const PackedSource& source, Split split) const {
    return folder / concat(source.name, ".", name(split));
}

}  // namespace hadal::data
