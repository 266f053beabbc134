#include "checkpoint/safetensors.h"

#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <string>

#include "checkpoint/safetensors_writer.h"
#include "checkpoint/temporary_directory.h"

using hadal::DType;
using hadal::Error;
using hadal::Shape;
using hadal::Tensor;
using hadal::checkpoint::parse_safetensors_header;
using hadal::checkpoint::Safetensors;
using hadal::checkpoint::SafetensorsWriter;
using hadal::checkpoint::TensorSpec;
using hadal::test::TemporaryDirectory;

namespace {

std::string with_length(const std::string& header, uint64_t length) {
    std::string bytes;
    for (int i = 0; i < 8; ++i) bytes += char((length >> (8 * i)) & 0xFF);
    return bytes + header;
}

std::string file_of(const std::string& header, size_t data_bytes) {
    return with_length(header, header.size()) + std::string(data_bytes, '\1');
}

hadal::checkpoint::SafetensorsHeader parse(const std::string& file) {
    return parse_safetensors_header(std::as_bytes(std::span(file)), "a.safetensors");
}

/// The message of the error that this file gives; "" if it gives none.
std::string complaint(const std::string& file) {
    try {
        parse(file);
    } catch (const Error& error) {
        const std::string message = error.what();
        CHECK(error.exit_status() == 2);
        CHECK(message.find('\n') == std::string::npos);
        CHECK(message.find("a.safetensors") != std::string::npos);
        return message;
    }
    return "";
}

bool complains(const std::string& file, const std::string& of) {
    const std::string message = complaint(file);
    CAPTURE(message);
    CAPTURE(of);
    const bool found = message.find(of) != std::string::npos;
    CHECK(found);
    return found;
}

void write_file(const std::filesystem::path& path, const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
}

}  // namespace

TEST_CASE("safetensors: a header gives names, types, shapes and places, whatever their order") {
    const auto header = parse(file_of(
        R"({"b":{"shape":[],"dtype":"F32","data_offsets":[12,16]},"__metadata__":{"format":"pt"},)"
        R"("a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},)"
        R"("none":{"dtype":"I64","shape":[0,5],"data_offsets":[12,12]}}   )",
        16));
    REQUIRE(header.tensors.size() == 3);
    CHECK(header.tensors[0].name == "a");
    CHECK(header.tensors[0].dtype == DType::bf16);
    CHECK(header.tensors[0].shape == Shape{2, 3});
    CHECK(header.tensors[1].name == "none");
    CHECK(header.tensors[1].bytes() == 0);
    CHECK(header.tensors[2].name == "b");
    CHECK(header.tensors[2].shape == Shape{});
    CHECK(header.tensors[2].offset == header.tensors[0].offset + 12);
    CHECK(header.metadata.at("format") == "pt");
    CHECK(parse(file_of("{}", 0)).tensors.empty());
}

TEST_CASE("safetensors: a file cut short or with a wrong header length is refused") {
    CHECK(complains("", "0 bytes"));
    CHECK(complains("1234567", "7 bytes"));
    CHECK(complains(with_length("{}", 3), "does not fit"));
    CHECK(complains(with_length("{}", 0), "does not begin with '{'"));
    CHECK(complains(with_length("{}", ~uint64_t(0)), "more than any"));
    CHECK(complains(with_length("{}", uint64_t(1) << 63), "more than any"));
    CHECK(complains(with_length("{}", 99'999'999), "does not fit"));
    const std::string whole =
        file_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
    CHECK(complaint(whole).empty());
    for (size_t size = 0; size < whole.size(); ++size) {
        CAPTURE(size);
        CHECK(!complaint(whole.substr(0, size)).empty());
    }
}

TEST_CASE("safetensors: a header that is not the JSON it should be is refused") {
    CHECK(complains(file_of("[]", 0), "does not begin"));
    CHECK(complains(file_of(R"( {"a":1})", 0), "does not begin"));
    CHECK(complains(file_of(R"({"a")", 0), "not valid JSON"));
    CHECK(complains(file_of("{}{}", 0), "not valid JSON"));
    CHECK(complains(file_of(std::string("{}\0{", 4), 0), "zero byte"));
    CHECK(complains(file_of("{\"\xC3\x28\":{}}", 0), "not valid JSON"));  // not UTF-8
    CHECK(complains(file_of(R"({"a":5})", 0), "'a'"));
    CHECK(complains(file_of(R"({"a":"F32"})", 0), "'a'"));
    CHECK(complains(file_of(R"({"a":[1]})", 0), "'a'"));
    CHECK(complains(file_of(R"({"a":null})", 0), "null"));
    CHECK(complains(file_of(R"({"a":{"dtype":{"b":1}}})", 0), "an object"));
    CHECK(complains(file_of(R"({"a":{"dtype":3}})", 0), "'dtype'"));
    CHECK(complains(file_of(R"({"a":{"colour":"red"}})", 0), "'colour'"));
    CHECK(complains(file_of(R"({"__metadata__":{"a":{}}})", 0), "an object"));
    CHECK(complains(file_of(R"({"__metadata__":{"a":"1","a":"2"}})", 0), "twice"));
    CHECK(complains(file_of(R"({"__metadata__":{},"__metadata__":{}})", 0), "two __metadata__"));
    CHECK(complains(file_of(R"({"a":{"dtype":"F32","dtype":"F32"}})", 0), "'dtype'"));
    // A bracket for every byte: must not exhaust the stack either.
    CHECK(!complaint(file_of("{\"a\":" + std::string(1'000'000, '['), 0)).empty());
}

TEST_CASE("safetensors: a tensor that lacks a part, or has a wrong one, is named") {
    const auto tensor = [](const std::string& fields) {
        return file_of(R"({"x.weight":{)" + fields + "}}", 8);
    };
    CHECK(complains(tensor(R"("shape":[2],"data_offsets":[0,8])"), "'x.weight' lacks its dtype"));
    CHECK(complains(tensor(R"("dtype":"F32","data_offsets":[0,8])"), "'x.weight' lacks its shape"));
    CHECK(complains(tensor(R"("dtype":"F32","shape":[2])"), "'x.weight' lacks its data_offsets"));
    CHECK(complains(tensor(R"("dtype":"F31","shape":[2],"data_offsets":[0,8])"), "'F31'"));
    CHECK(complains(tensor(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), "negative"));
    CHECK(complains(tensor(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"),
                    "no whole number"));
    CHECK(complains(tensor(R"("dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8])"),
                    "too large"));
    CHECK(complains(tensor(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])"), "a list"));
    CHECK(complains(tensor(R"("dtype":"F32","shape":[1,1,1,1,2],"data_offsets":[0,8])"),
                    "5 dimensions"));
    CHECK(complains(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0])"), "[begin, end]"));
    CHECK(complains(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), "[begin, end]"));
    CHECK(complains(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,8])"), "[begin, end]"));
}

TEST_CASE("safetensors: sizes that do not agree, or whose product overflows, are refused") {
    const auto shape = [](const std::string& sizes) {
        return file_of(R"({"x":{"dtype":"F32","shape":[)" + sizes + R"(],"data_offsets":[0,8]}})",
                       8);
    };
    CHECK(complaint(shape("2")).empty());
    CHECK(complains(shape("3"), "needs 12 bytes"));
    CHECK(complains(shape("0"), "needs 0 bytes"));
    CHECK(complains(shape("4294967296,4294967296,2"),
                    "impossible shape"));  // the product wraps round to 0
    CHECK(complains(shape("9223372036854775807,9223372036854775807,0"), "impossible shape"));
    CHECK(complains(shape("18446744073709551615"), "impossible shape"));
    CHECK(complains(shape("4611686018427387904"), "impossible shape"));
}

TEST_CASE("safetensors: bytes outside the file, shared by two tensors or by none are refused") {
    const auto two = [](const std::string& first, const std::string& second, size_t data_bytes) {
        return file_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + first +
                           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}",
                       data_bytes);
    };
    CHECK(complaint(two("[0,4]", "[4,8]", 8)).empty());
    CHECK(complaint(two("[4,8]", "[0,4]", 8)).empty());
    CHECK(complains(two("[0,4]", "[4,8]", 7), "'b' ends at byte 8 of the data, which has 7"));
    CHECK(complains(two("[0,4]", "[18446744073709551611,18446744073709551615]", 8),
                    "'b' ends at byte"));
    CHECK(complains(two("[0,4]", "[2,6]", 6), "'b' overlaps"));
    CHECK(complains(two("[0,4]", "[0,4]", 4), "overlaps"));
    CHECK(complains(two("[0,4]", "[5,9]", 9), "'b' leaves unused bytes"));
    CHECK(complains(two("[1,5]", "[5,9]", 9), "'a' leaves unused bytes"));
    CHECK(complains(two("[0,4]", "[4,8]", 9), "1 bytes follow the last tensor"));
}

TEST_CASE("safetensors: a name that comes twice is refused") {
    CHECK(complains(file_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                            R"("a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
                            8),
                    "'a' is given twice"));
}

TEST_CASE("safetensors: a name with a line break stays on one line of the message") {
    CHECK(complains(file_of("{\"a\\nb\":5}", 0), "'a\\x0ab'"));
}

TEST_CASE("safetensors: tensors are views of the file and outlive the object that opened it") {
    const TemporaryDirectory scratch;
    write_file(scratch / "a",
               file_of(R"({"x":{"dtype":"U8","shape":[2,2],"data_offsets":[0,4]}})", 4));
    Tensor first;
    Tensor second;
    {
        const auto file = Safetensors::open(scratch / "a");
        first = file.load("x");
        second = file.load("x");
    }
    CHECK(first.data() == second.data());
    CHECK(first.values<uint8_t>()[3] == 1);
    CHECK_THROWS_WITH_AS(Safetensors::open(scratch / "a").load("y"),
                         doctest::Contains("tensor 'y' is missing"), Error);
}

TEST_CASE("safetensors: elements that the file does not align are copied to where they are") {
    const TemporaryDirectory scratch;
    std::string header = R"({"odd":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                         R"("x":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})";
    header.append((8 - header.size() % 8) % 8, ' ');
    const float value = 1.5f;
    std::string data(5, '\0');
    std::memcpy(data.data() + 1, &value, sizeof value);
    write_file(scratch / "a", with_length(header, header.size()) + data);
    const Tensor x = Safetensors::open(scratch / "a").load("x");
    CHECK(reinterpret_cast<uintptr_t>(x.data()) % sizeof(float) == 0);
    CHECK(x.values<float>()[0] == value);
}

TEST_CASE("safetensors: a missing file is named with the system's reason") {
    CHECK_THROWS_WITH_AS(Safetensors::open("/nowhere/x.safetensors"),
                         "cannot open /nowhere/x.safetensors: No such file or directory", Error);
}
