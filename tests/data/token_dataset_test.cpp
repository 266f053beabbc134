#include "data/token_dataset.h"

#include <doctest/doctest.h>

#include <cstring>

#include "data/support.h"

using namespace hadal;
using namespace hadal::data;
using hadal::data::test::contains;
using hadal::data::test::error_of;
using hadal::data::test::Folder;

namespace {

std::vector<int32_t> all_ids(const TokenDataset& dataset) {
    std::vector<int32_t> ids(size_t(dataset.tokens()));
    dataset.copy(0, ids);
    return ids;
}

std::filesystem::path golden(const char* name) {
    return std::filesystem::path(HADAL_TEST_DATA) / "data/megatron" / name;
}

}  // namespace

TEST_CASE("token_dataset: pairs written by numpy in Megatron-LM's layout are read") {
    const TokenDataset narrow = TokenDataset::open(golden("narrow"));
    CHECK(all_ids(narrow) == std::vector<int32_t>{5, 6, 65499, 1, 2, 3, 9, 8, 7, 1});
    CHECK(narrow.sequences() == 4);
    REQUIRE(narrow.documents() == 4);
    CHECK(narrow.document(1).begin == 3);
    CHECK(narrow.document(1).end == 6);
    CHECK(narrow.document(2).begin == narrow.document(2).end);
    CHECK(narrow.document(3).end == 10);
    CHECK(narrow.document_of(0) == 0);
    CHECK(narrow.document_of(5) == 1);
    CHECK(narrow.document_of(9) == 3);
    CHECK(all_ids(TokenDataset::open(golden("wide"))) == std::vector<int32_t>{129279, 0, 1, 70000});
}

TEST_CASE(
    "token_dataset: what is written is byte for byte what numpy writes for the same documents") {
    const Folder folder;
    test::write_set(folder / "wide", {{129279, 0, 1}, {70000}}, 129280);
    for (const char* extension : {".bin", ".idx"}) {
        CAPTURE(extension);
        CHECK(read_file((folder / "wide").string() + extension) ==
              read_file(golden("wide").string() + extension));
    }
}

TEST_CASE("token_dataset: ids take two bytes below a vocabulary of 65500, four from there on") {
    const Folder folder;
    for (const int64_t vocab_size : {65499, 65500}) {
        CAPTURE(vocab_size);
        test::write_set(folder / "set", {{65498, 1}, {2}}, vocab_size);
        CHECK(std::filesystem::file_size(folder / "set.bin") == (vocab_size < 65500 ? 6 : 12));
        CHECK(all_ids(TokenDataset::open(folder / "set")) == std::vector<int32_t>{65498, 1, 2});
    }
}

TEST_CASE("token_dataset: an id outside the vocabulary is never written") {
    const Folder folder;
    TokenDatasetWriter writer(folder / "set", 100);
    for (const int32_t id : {100, -1}) {
        CAPTURE(id);
        const std::vector<int32_t> ids{1, id};
        CHECK(contains(error_of([&] { writer.add_document(ids); }), "token id"));
    }
}

TEST_CASE("token_dataset: every damaged index is refused with the file's name") {
    const Folder folder;
    test::write_set(folder / "set", {{1, 2, 3}, {4, 5}});
    const std::string good = read_file(folder / "set.idx");
    const auto refused = [&](const std::string& index, const std::string& reason) {
        folder.write("set.idx", index);
        const std::string message = error_of([&] { TokenDataset::open(folder / "set"); });
        CAPTURE(message);
        CHECK(contains(message, reason));
        CHECK(contains(message, folder.path().string()));
    };
    const auto with = [&](size_t offset, auto value) {
        std::string changed = good;
        std::memcpy(changed.data() + offset, &value, sizeof value);
        return changed;
    };
    refused("", "MMIDIDX");
    refused(good.substr(0, 33), "MMIDIDX");
    refused(with(0, 'X'), "MMIDIDX");
    refused(with(9, uint64_t(2)), "version 2");
    refused(with(17, uint8_t(7)), "type code 7");
    refused(with(18, uint64_t(3)), "does not fit");
    refused(with(18, uint64_t(1) << 62), "does not fit");
    refused(with(26, uint64_t(0)), "does not fit");
    refused(with(26, ~uint64_t(0)), "does not fit");
    refused(with(34, int32_t(-3)), "length -3");
    refused(with(34, int32_t(4)), "starts at byte");
    refused(with(38, int32_t(9)), "its index says");
    refused(with(50, int64_t(2)), "starts at byte 2");
    refused(with(58, int64_t(1)), "document 0");
    refused(with(66, int64_t(7)), "document 1");
    refused(with(74, int64_t(1)), "document 2");
    for (size_t length = 0; length < good.size(); ++length) {  // no prefix is taken for whole
        folder.write("set.idx", good.substr(0, length));
        CHECK(error_of([&] { TokenDataset::open(folder / "set"); }) != "");
    }
}

TEST_CASE("token_dataset: a .bin of another length, or none, is refused") {
    const Folder folder;
    test::write_set(folder / "set", {{1, 2, 3}});
    folder.write("set.bin", "12345");
    CHECK(contains(error_of([&] { TokenDataset::open(folder / "set"); }), "set.bin"));
    std::filesystem::remove(folder / "set.bin");
    CHECK(contains(error_of([&] { TokenDataset::open(folder / "set"); }), "set.bin"));
}
