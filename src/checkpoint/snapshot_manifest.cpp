#include "checkpoint/snapshot_manifest.h"

#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file_map.h"
#include "core/json.h"

namespace hadal::checkpoint {

namespace {

constexpr int kFormat = 2;  // 1 had one file and no digests of tensors

[[noreturn]] void corrupt(const std::filesystem::path& where, const std::string& what) {
    throw Error(Error::Kind::corrupt_file, concat(what, ": ", where.string()));
}

std::string digest_text(uint64_t digest) {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(digest));
    return text;
}

uint64_t parsed_digest(const nlohmann::json& value, const std::filesystem::path& where) {
    const auto& text = value.get_ref<const std::string&>();
    uint64_t digest = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), digest, /*base=*/16);
    if (text.size() != 16 || error != std::errc() || end != text.data() + text.size()) {
        corrupt(where, "manifest of a snapshot has a digest that is not 16 hexadecimal digits");
    }
    return digest;
}

SnapshotManifest::Shard parsed_shard(const std::string& file, const nlohmann::json& json,
                                     const std::filesystem::path& where) {
    if (file.empty() || file.find('/') != std::string::npos) {
        corrupt(where, "manifest of a snapshot names a shard outside of it");
    }
    SnapshotManifest::Shard shard{.file = file,
                                  .bytes = json.at("bytes").get<uint64_t>(),
                                  .header_digest = parsed_digest(json.at("header_xxh64"), where),
                                  .tensors = {}};
    for (const auto& item : json.at("tensors").items()) {
        shard.tensors.push_back({item.key(), parsed_digest(item.value(), where)});
    }
    return shard;
}

}  // namespace

uint64_t SnapshotManifest::bytes() const {
    uint64_t sum = 0;
    for (const Shard& shard : shards) sum += shard.bytes;
    return sum;
}

std::string shard_name(size_t index, size_t count) {
    char name[64];
    std::snprintf(name, sizeof name, "tensors-%05zu-of-%05zu.safetensors", index + 1, count);
    return name;
}

std::string manifest_text(const SnapshotManifest& manifest) {
    nlohmann::json shards = nlohmann::json::object();
    for (const SnapshotManifest::Shard& shard : manifest.shards) {
        nlohmann::json tensors = nlohmann::json::object();
        for (const auto& [name, digest] : shard.tensors) tensors[name] = digest_text(digest);
        shards[shard.file] = {{"bytes", shard.bytes},
                              {"header_xxh64", digest_text(shard.header_digest)},
                              {"tensors", std::move(tensors)}};
    }
    const nlohmann::ordered_json json = {{"format", kFormat},
                                         {"step", manifest.step},
                                         {"state_xxh64", digest_text(manifest.state_digest)},
                                         {"shards", std::move(shards)}};
    return json.dump(1) + "\n";
}

SnapshotManifest read_manifest(const std::filesystem::path& snapshot) {
    const auto path = snapshot / kManifestFile;
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) corrupt(snapshot, "snapshot has no manifest");
    const nlohmann::json json = parse_json(read_file(path), path.string());
    try {
        const auto format = json.value("format", int64_t{1});
        if (format != kFormat) {
            corrupt(path, concat("snapshot has format ", format, ", this program reads ", kFormat,
                                 " (continue the run with the program that wrote it)"));
        }
        SnapshotManifest manifest{.step = json.at("step").get<int64_t>(),
                                  .shards = {},
                                  .state_digest = parsed_digest(json.at("state_xxh64"), path)};
        for (const auto& item : json.at("shards").items()) {
            manifest.shards.push_back(parsed_shard(item.key(), item.value(), path));
        }
        return manifest;
    } catch (const nlohmann::json::exception&) {
        corrupt(path, "manifest of a snapshot lacks an entry or has one of a wrong type");
    }
}

}  // namespace hadal::checkpoint
