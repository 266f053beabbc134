#include "chat/output_parser.h"

#include <algorithm>
#include <utility>

namespace hadal::chat {

namespace {

constexpr std::string_view kSpace = " \n\r\t";
constexpr std::string_view kFence = "```json\n";

}  // namespace

OutputParser::OutputParser(const Format& format, OutputOptions options)
    : format_(format),
      options_(std::move(options)),
      state_(options_.thinks ? State::reasoning : State::start),
      skips_space_(options_.thinks) {}

std::vector<Delta> OutputParser::feed(std::string_view text) {
    open_ += text;
    while (!open_.empty() && step()) {
    }
    return std::exchange(out_, {});
}

std::vector<Delta> OutputParser::finish() {
    if (state_ == State::header && format_.header == Format::Header::object) {
        const std::string_view object =
            std::string_view(open_).substr(0, open_.find(format_.turn_end));
        if (const auto call = read_whole_call(object)) {
            begin_call(options_.call_id + std::to_string(calls_), call->name);
            open_ = call->arguments;
            emit(Delta::Kind::call_arguments, open_.size());
        }
    }
    if (state_ == State::section || state_ == State::header) {
        // Nothing was said of a call yet, or a second one was cut off in its name.
        if (calls_ == 0) {
            open_ = raw_ + open_;
            emit(Delta::Kind::content, open_.size());
        }
    } else if (state_ == State::arguments) {
        emit(Delta::Kind::call_arguments, open_.size());
    } else if (state_ != State::over) {
        if (state_ == State::content) passes_turn_end();
        emit(state_ == State::reasoning ? Delta::Kind::reasoning : Delta::Kind::content,
             open_.size());
    }
    open_.clear();
    return std::exchange(out_, {});
}

bool OutputParser::step() {
    if (skips_space_) {
        drop(std::min(open_.find_first_not_of(kSpace), open_.size()));
        if (open_.empty()) return false;
    }
    switch (state_) {
        case State::start:
            return start();
        case State::reasoning:
            return reasoning();
        case State::content:
            return content();
        case State::section:
            return section();
        case State::header:
            return header();
        case State::arguments:
            return arguments();
        case State::over:
            break;
    }
    open_.clear();
    return false;
}

/// Up to the last byte that cannot be the beginning of one of the marks.
size_t OutputParser::sure_end(std::initializer_list<std::string_view> marks) const {
    size_t end = open_.size();
    for (const std::string_view mark : marks) {
        if (mark.empty()) continue;
        for (size_t n = std::min(mark.size() - 1, open_.size()); n > 0; --n) {
            if (!std::string_view(open_).ends_with(mark.substr(0, n))) continue;
            end = std::min(end, open_.size() - n);
            break;
        }
    }
    return end;
}

void OutputParser::emit(Delta::Kind kind, size_t end) {
    if (end == 0) return;
    skips_space_ = false;
    const bool is_dropped = kind == Delta::Kind::call_arguments && options_.most_calls >= 0 &&
                            calls_ > options_.most_calls;
    if (!is_dropped) {
        out_.push_back({.kind = kind,
                        .text = open_.substr(0, end),
                        .call = kind == Delta::Kind::call_arguments ? calls_ - 1 : 0});
    }
    drop(end);
}

void OutputParser::drop(size_t count) {
    open_.erase(0, count);
}

/// A model that was not made to think may begin to. White space before thoughts or calls is no
/// content.
bool OutputParser::start() {
    const size_t text = std::min(open_.find_first_not_of(kSpace), open_.size());
    const std::string_view rest = std::string_view(open_).substr(text);
    const auto begins = [&](std::string_view mark) { return rest.starts_with(mark); };
    const auto may_begin = [&](std::string_view mark) {
        return rest.size() < mark.size() && mark.starts_with(rest);
    };
    if (may_begin(format_.think_begin)) return false;
    if (options_.reads_calls && may_begin(format_.calls_begin)) return false;
    state_ = State::content;
    if (begins(format_.think_begin)) {
        drop(text + format_.think_begin.size());
        state_ = State::reasoning;
        skips_space_ = true;
    } else if (options_.reads_calls && begins(format_.calls_begin)) {
        drop(text);
    }
    return true;
}

bool OutputParser::reasoning() {
    const size_t end = open_.find(format_.think_end);
    if (end == std::string::npos) {
        // Line breaks before the end are not part of the thoughts.
        const size_t sure = sure_end({format_.think_end});
        const size_t text = open_.find_last_not_of(kSpace, sure - 1);
        emit(Delta::Kind::reasoning, sure == 0 || text == std::string::npos ? 0 : text + 1);
        return false;
    }
    const size_t last = end == 0 ? std::string::npos : open_.find_last_not_of(kSpace, end - 1);
    const size_t text = last == std::string::npos ? 0 : last + 1;
    emit(Delta::Kind::reasoning, text);
    drop(end - text + format_.think_end.size());
    state_ = State::content;
    skips_space_ = true;
    return true;
}

bool OutputParser::content() {
    const std::string_view calls_begin = options_.reads_calls ? format_.calls_begin : "";
    const size_t begin = calls_begin.empty() ? std::string::npos : open_.find(calls_begin);
    const size_t turn_end =
        format_.turn_end.empty() ? std::string::npos : open_.find(format_.turn_end);
    if (turn_end < begin) {
        emit(Delta::Kind::content, turn_end);
        if (calls_begin.starts_with(open_)) return false;  // these may still become calls
        return passes_turn_end();
    }
    if (begin == std::string::npos) {
        emit(Delta::Kind::content, sure_end({calls_begin, format_.turn_end}));
        return false;
    }
    emit(Delta::Kind::content, begin);
    drop(calls_begin.size());
    raw_ = calls_begin;
    skips_space_ = false;
    state_ = format_.header == Format::Header::object ? State::header : State::section;
    return true;
}

/// The end of a turn before the answer's own end is no content, nor are the line breaks behind it.
bool OutputParser::passes_turn_end() {
    if (format_.turn_end.empty() || !open_.starts_with(format_.turn_end)) return false;
    drop(format_.turn_end.size());
    drop(std::min(open_.find_first_not_of(kSpace), open_.size()));
    skips_space_ = true;
    return true;
}

/// Between the calls: only white space and marks are expected, anything else is passed over.
bool OutputParser::section() {
    const size_t call = open_.find(format_.call_begin), end = open_.find(format_.calls_end);
    const size_t mark = std::min(call, end);
    if (mark == std::string::npos) {
        const size_t sure = sure_end({format_.call_begin, format_.calls_end});
        raw_ += open_.substr(0, sure);
        drop(sure);
        return false;
    }
    const size_t past = mark + (call < end ? format_.call_begin : format_.calls_end).size();
    raw_ += open_.substr(0, past);
    drop(past);
    if (call < end) {
        state_ = State::header;
        return true;
    }
    if (calls_ == 0) {
        open_ = raw_ + open_;
        emit(Delta::Kind::content, raw_.size());
    }
    state_ = State::content;
    return true;
}

bool OutputParser::header() {
    if (format_.header == Format::Header::object) return object_header();
    const size_t mark = open_.find(format_.mark);
    const size_t end = open_.find(format_.call_end);
    if (end < mark) {  // no call after all
        raw_ += open_.substr(0, end + format_.call_end.size());
        drop(end + format_.call_end.size());
        state_ = State::section;
        return true;
    }
    if (mark == std::string::npos) return false;
    if (!read_header(open_, mark)) return false;
    state_ = State::arguments;
    return true;
}

/// The header is whole when what stands before the arguments is; false until then.
bool OutputParser::read_header(std::string_view text, size_t mark) {
    const std::string_view before = text.substr(0, mark),
                           after = text.substr(mark + format_.mark.size());
    std::string_view name = before;
    size_t past = mark + format_.mark.size();
    std::string id = options_.call_id + std::to_string(calls_);
    if (format_.header == Format::Header::id) {
        id = before;
        const size_t colon = name.rfind(':');
        if (colon != std::string_view::npos) name = name.substr(0, colon);
        constexpr std::string_view kPrefix = "functions.";
        if (name.starts_with(kPrefix)) name.remove_prefix(kPrefix.size());
    } else if (format_.header == Format::Header::fenced) {
        const size_t line = after.find('\n');
        if (line == std::string_view::npos) return false;
        name = after.substr(0, line);
        const std::string_view rest = after.substr(line + 1);
        if (rest.size() < kFence.size() && kFence.starts_with(rest)) return false;
        past += line + 1 + (rest.starts_with(kFence) ? kFence.size() : 0);
    }
    const auto trim = [](std::string_view part) {
        const size_t first = part.find_first_not_of(kSpace);
        if (first == std::string_view::npos) return std::string();
        return std::string(part.substr(first, part.find_last_not_of(kSpace) + 1 - first));
    };
    begin_call(trim(id), trim(name));
    drop(past);
    return true;
}

void OutputParser::begin_call(std::string id, std::string name) {
    if (options_.most_calls < 0 || calls_ < options_.most_calls) {
        out_.push_back({.kind = Delta::Kind::call_begins,
                        .call = calls_,
                        .id = std::move(id),
                        .name = std::move(name)});
    }
    ++calls_;
}

/// Where the arguments come before the name, the call is read at its end, by finish().
bool OutputParser::object_header() {
    const CallHead head = read_call_head(open_);
    if (head.state != CallHead::State::whole) return false;
    begin_call(options_.call_id + std::to_string(calls_), head.name);
    drop(head.arguments);
    state_ = State::arguments;
    return true;
}

bool OutputParser::object_arguments() {
    const size_t end = value_end_.find(open_);
    emit(Delta::Kind::call_arguments, std::min(end, open_.size()));
    if (end == std::string::npos) return false;
    state_ = State::over;
    return true;
}

bool OutputParser::arguments() {
    if (format_.header == Format::Header::object) return object_arguments();
    const bool fenced = format_.header == Format::Header::fenced;
    const std::string fence = "\n```" + std::string(format_.call_end);
    const size_t end = open_.find(format_.call_end);
    if (end == std::string::npos) {
        emit(Delta::Kind::call_arguments,
             fenced ? sure_end({fence, format_.call_end}) : sure_end({format_.call_end}));
        return false;
    }
    const bool closes = fenced && end >= 4 && open_.compare(end - 4, 4, "\n```") == 0;
    emit(Delta::Kind::call_arguments, closes ? end - 4 : end);
    drop((closes ? 4 : 0) + format_.call_end.size());
    state_ = State::section;
    return true;
}

}  // namespace hadal::chat
