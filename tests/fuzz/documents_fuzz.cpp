// Any bytes as a line of a documents file: refused with an Error, or a document that survives being
// written and read.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/error.h"
#include "data/document.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view line(reinterpret_cast<const char*>(data), size);
    try {
        hadal::data::Document document = hadal::data::from_json_line(line, "input");
        if (document.task.empty()) {  // prompt and answer belong to a task
            document.prompt.clear();
            document.answer.clear();
        }
        if (hadal::data::from_json_line(hadal::data::to_json_line(document), "output") !=
            document) {
            std::abort();
        }
    } catch (const hadal::Error&) {
    }
    return 0;
}
