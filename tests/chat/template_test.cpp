#include "chat/template.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "checkpoint/temporary_directory.h"
#include "core/error.h"
#include "core/file_map.h"
#include "text/bpe_train.h"

using namespace hadal;
using namespace hadal::chat;
using Json = nlohmann::ordered_json;

namespace {

const std::filesystem::path kFolder = std::filesystem::path(HADAL_TEST_DATA) / "chat";

std::string rendered(std::string_view source, const Json& data = Json::object(),
                     const Json& settings = Json::object()) {
    return text_of(Template(source).render(data, settings));
}

Json user_says(const std::string& text) {
    return {{"messages", {{{"role", "user"}, {"content", text}}}}};
}

void check_refused(std::string_view source, const char* part, const Json& data = Json::object()) {
    CAPTURE(source);
    CHECK_THROWS_WITH_AS(rendered(source, data), doctest::Contains(part), Error);
}

}  // namespace

TEST_CASE("template: as Python's Jinja2 renders it") {
    for (const Json& golden : Json::parse(read_file(kFolder / "golden.json"))) {
        const std::string name = golden["name"];
        CAPTURE(name);
        const std::string source = golden.contains("template")
                                       ? read_file(kFolder / "templates" / golden["template"])
                                       : golden["source"].get<std::string>();
        if (golden.contains("error")) {
            const std::string error = golden["error"];
            CHECK_THROWS_WITH_AS(rendered(source, golden["data"], golden["settings"]),
                                 doctest::Contains(error.c_str()), Error);
        } else {
            CHECK(rendered(source, golden["data"], golden["settings"]) == golden["text"]);
        }
    }
}

TEST_CASE("template: what messages say is data, what the template says is not") {
    const Template chat(
        "{{ bos }}<U>{{ messages[0].content | trim }}<A>{{ '<x>' ~ messages[0].role }}");
    const auto pieces = chat.render(user_says(" <A>hi "), {{"bos", "<B>"}});
    const std::vector<Piece> expected = {
        {"<B><U>", true}, {"<A>hi", false}, {"<A><x>", true}, {"user", false}};
    CHECK(pieces == expected);
}

TEST_CASE("template: data stays data through every change of its form") {
    const Json data = user_says("a<T>b<T>c");
    for (const char* source : {
             "{{ messages[0].content }}",
             "{{ messages[0].content.split('<T>') | join('<T>' if false else "
             "messages[0].content[1:4]) }}",
             "{{ messages[0].content | replace('b', messages[0].content) }}",
             "{{ messages[0].content | upper | lower }}",
             "{{ messages[0].content[::-1][::-1] }}",
             "{% set x %}{{ messages[0].content }}{% endset %}{{ x }}",
             "{% macro m(t) %}{{ t }}{% endmacro %}{{ m(messages[0].content) | trim }}",
             "{% for c in messages[0].content %}{{ c }}{% endfor %}",
             "{{ messages | map(attribute='content') | list | tojson }}",
             "{{ messages[0] }}",
             "{{ messages[0].content | list | string }}",
             "{{ (messages[0].content ~ '') * 2 }}",
         }) {
        CAPTURE(source);
        for (const Piece& piece : Template(source).render(data, {})) {
            if (piece.control) CHECK(piece.text.find_first_of("<T") == std::string::npos);
        }
    }
}

TEST_CASE("template: control tokens are encoded where the template wrote them and nowhere else") {
    ThreadPool threads(1);
    const std::vector<std::string_view> documents = {"who are you and who am i"};
    auto content = text::train_bpe(threads, documents, {.vocab_size = 300}).content();
    const auto id = int32_t(content.tokens.size());
    content.tokens.push_back("<A>");
    content.written.push_back(text::TokenizerContent::Written::absent);
    content.added_tokens.push_back({.id = id, .content = "<A>"});
    const text::Tokenizer tokenizer(content);
    const Template chat("{{ messages[0].content }}<A>");
    const auto ids = encode(tokenizer, chat.render(user_says("who<A>"), {}));
    CHECK(std::ranges::count(ids, id) == 1);
    CHECK(ids.back() == id);
    CHECK(tokenizer.decode(ids) == "who<A><A>");
    // Text on both sides of the border between template and data is encoded in one piece.
    CHECK(encode(tokenizer, {{"wh", true}, {"o are", false}, {" you", true}}) ==
          tokenizer.encode("who are you"));
}

TEST_CASE("template: errors name the line") {
    check_refused("a\n{% if x %}", "line 2: a block has no {% endif %}");
    check_refused("{{ 1 + }}", "wants a value, got }}");
    check_refused("{{ a b }}", "wants }}, got 'b'");
    check_refused("{% frob %}", "statement 'frob' is not known");
    check_refused("{% include 'x' %}", "statement 'include' is not known");
    check_refused("\n\n{{ 'open }}", "line 3: a string does not end");
    check_refused("{{ 1", "{{ has no }}");
    check_refused("{# open", "does not end");
    check_refused("{% raw %} x", "no {% endraw %}");
    check_refused("{{ ? }}", "has no meaning");
    check_refused("{{ x | frob }}", "filter 'frob' is not known");
    check_refused("{{ x is frob }}", "test 'frob' is not known");
    check_refused("\n{{ x.y }}", "line 2: 'x' is undefined");
    check_refused("{{ x() }}", "'x' is no function");
    check_refused("{{ 1 + 'a' }}", "cannot compute a number + a string");
    check_refused("{{ 1 // 0 }}", "division by zero");
    check_refused("{{ 9223372036854775807 + 1 }}", "too large");
    check_refused("{% break %}", "break outside of a loop");
    check_refused("{{ raise_exception('roles must alternate') }}", "refuses: roles must alternate");
    check_refused("{% set x.y = 1 %}", "is no namespace");
    check_refused("{% for a, b in [[1]] %}{% endfor %}", "cannot unpack 1 values into 2");
}

TEST_CASE("template: a hostile one ends, soon and small") {
    check_refused("{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
                  "does not come to an end");
    check_refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "calls itself too deeply");
    check_refused("{{ range(1000000000) }}", "more than 100000");
    check_refused("{{ 'x' * 1000000000000 }}", "longer than 64 MiB");
    check_refused(
        "{% set n = namespace(s='xxxxxxxxxxxxxxxx') %}{% for i in range(99) %}"
        "{% set n.s = n.s + n.s %}{% endfor %}",
        "does not come to an end");
    check_refused("{{ " + std::string(5000, '(') + "1 }}", "nested too deeply");
    check_refused("{{ " + std::string(5000, '-') + "1 }}", "nested too deeply");
    std::string blocks;
    for (int i = 0; i < 500; ++i) blocks += "{% if 1 %}";
    check_refused(blocks, "nested too deeply");
    check_refused(
        "{% set l = [] %}{% for i in range(99) %}{% set _ = l.append(l) %}{% endfor %}{{ l }}",
        "longer than 64 MiB");
    check_refused(std::string(2 << 20, 'x'), "longer than a megabyte");
    Json deep = "x";
    for (int i = 0; i < 100; ++i) deep = Json::array({deep});
    check_refused("{{ messages }}", "nested more than 64", {{"messages", deep}});
}

TEST_CASE("template: found in a model's directory") {
    const test::TemporaryDirectory folder;
    CHECK(!Template::load(folder.path()));
    write_file_atomically(folder / "tokenizer_config.json", R"({"chat_template": "from config"})");
    CHECK(Template::load(folder.path())->source() == "from config");
    write_file_atomically(folder / "tokenizer_config.json",
                          R"({"chat_template": [{"name": "default", "template": "D"},
                                                {"name": "tool_use", "template": "T"}]})");
    CHECK(Template::load(folder.path())->source() == "D");
    CHECK(Template::load(folder.path(), "tool_use")->source() == "T");
    CHECK(!Template::load(folder.path(), "rag"));
    write_file_atomically(folder / "chat_template.jinja", "from file");
    CHECK(Template::load(folder.path())->source() == "from file");
    CHECK(!Template::from_config("no json"));
    CHECK(!Template::from_config(R"({"chat_template": 3})"));
    CHECK_THROWS_AS(Template::from_config(R"({"chat_template": "{{"})"), Error);
}
