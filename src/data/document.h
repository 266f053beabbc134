// Documents between `data collect`, `data synth` and `data pack`: one JSON object a line, as other
// tools read and write it. {"text": …, "source": …} and, where known, "split", "weight", "task",
// "prompt", "answer". Bytes that are not UTF-8 cannot stand in JSON: such a document carries
// "base64" in place of "text", so that what is packed is what was on the disk, byte for byte.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/file_map.h"
#include "core/thread_pool.h"

namespace hadal::data {

enum class Split { train, validation };

std::string_view name(Split split);

struct Document {
    std::string text;                 // any bytes
    std::string source = "text";      // letters, digits, '_', '-', '.': it names files
    std::optional<Split> split = {};  // absent: decided by the hash of the text
    double weight = 1;                // of the source: how much more often than its size it is seen
    std::string task = {};            // the generated tasks only, as are the two below
    std::string prompt = {};          // text == prompt + answer
    std::string answer = {};

    friend bool operator==(const Document&, const Document&) = default;
};

/// The split a document says, otherwise validation for one text in `validation_every` by its hash
/// (0: never): equal texts fall on the same side, and adding documents moves none.
Split split_of(const Document& document, int64_t validation_every);

/// One line without its end.
std::string to_json_line(const Document& document);

/// Error(bad_input) names `where`, for example "documents.jsonl line 12".
Document from_json_line(std::string_view line, const std::string& where);

/// A JSONL file mapped into memory; lines are parsed when asked for, from any thread.
class DocumentFile {
  public:
    /// Finds the lines; empty ones do not count.
    static DocumentFile open(const std::filesystem::path& path);

    int64_t size() const {
        return int64_t(lines_.size());
    }
    Document read(int64_t index) const;
    /// Calls `visit` with every document and its index, on all threads, in no order.
    void for_each(ThreadPool& threads,
                  const std::function<void(int64_t index, Document& document)>& visit) const;
    /// Bytes of the line, an upper bound for its text: what a reader needs to balance work.
    int64_t line_bytes(int64_t index) const {
        return int64_t(lines_[size_t(index)].text.size());
    }
    const std::filesystem::path& path() const {
        return map_->path();
    }

  private:
    struct Line {
        std::string_view text;
        int64_t number;  // in the file, from 1
    };
    // Shared: the lines of every copy of this object point into the one mapping.
    std::shared_ptr<const FileMap> map_;
    std::vector<Line> lines_;
};

/// Writes documents to a temporary file that finish() puts in place of `path`; without finish()
/// nothing is left.
class DocumentWriter {
  public:
    explicit DocumentWriter(std::filesystem::path path);
    ~DocumentWriter();
    DocumentWriter(const DocumentWriter&) = delete;
    DocumentWriter& operator=(const DocumentWriter&) = delete;

    void add(const Document& document);
    void finish();

  private:
    std::filesystem::path path_;
    std::filesystem::path temporary_;
    std::ofstream file_;
};

/// The characters that a source's name may have are those of a file name. Error(bad_input)
/// otherwise.
void check_source_name(std::string_view source, const std::string& where);

}  // namespace hadal::data
