// Counters and histograms of a running server as Prometheus reads them, under the names that
// vLLM's dashboards know; what vLLM has no name for begins with "hadal:".
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "infer/engine.h"

namespace hadal::serve {

/// Counts values below given bounds.
class Histogram {
  public:
    explicit Histogram(std::span<const double> bounds) : bounds_(bounds), counts_(bounds.size()) {}

    void add(double value);
    std::span<const double> bounds() const {
        return bounds_;
    }
    /// Values at most as large as bound i.
    int64_t at_most(size_t i) const;
    int64_t count() const {
        return count_;
    }
    double sum() const {
        return sum_;
    }

  private:
    std::span<const double> bounds_;  // rising
    std::vector<int64_t> counts_;     // in (bound i − 1, bound i]
    int64_t count_ = 0;
    double sum_ = 0;
};

/// Writes the text format, version 0.0.4.
class MetricsText {
  public:
    using Labels = std::vector<std::pair<std::string_view, std::string>>;

    /// `common`: labels of every sample.
    explicit MetricsText(Labels common) : common_(std::move(common)) {}

    void counter(std::string_view name, std::string_view help, double value,
                 const Labels& labels = {});
    void gauge(std::string_view name, std::string_view help, double value,
               const Labels& labels = {});
    void histogram(std::string_view name, std::string_view help, const Histogram& histogram);
    const std::string& text() const {
        return text_;
    }

  private:
    void family(std::string_view name, std::string_view type, std::string_view help);
    void sample(std::string_view name, double value, const Labels& labels);

    Labels common_;
    std::string family_;  // the last one that was introduced
    std::string text_;
};

/// What happens, from any thread.
class Metrics {
  public:
    explicit Metrics(std::string model_name);

    /// A request that is taken in: texts that it wants, and tokens of each at most.
    void asked(int64_t texts, int64_t max_tokens);
    /// Of a text's first token: since its submission.
    void first_token(double seconds);
    /// Of its others: since the one before.
    void token(double seconds);
    /// Rows that a step computed.
    void step(int64_t tokens);
    void ended(const infer::RequestResult& result);
    void answered(std::string_view path, int status);

    /// What is counted elsewhere, as it is now.
    struct Present {
        infer::EngineStats engine;
        std::vector<std::vector<double>> expert_load;  // [MoE layer][expert]
        int64_t first_expert_layer = 0;
        int64_t open_requests = 0;  // that were taken in and are not answered
    };
    std::string text(const Present& present) const;

  private:
    void write_engine(MetricsText& text, const Present& present) const;
    void write_requests(MetricsText& text) const;

    const std::string model_name_;
    const double started_;      // seconds since 1970
    mutable std::mutex mutex_;  // guards what follows
    Histogram first_token_, between_tokens_, per_token_, whole_;
    Histogram queue_, prefill_, decode_, inference_;
    Histogram prompt_tokens_, generated_tokens_, step_tokens_, asked_texts_, asked_tokens_;
    std::map<std::string, int64_t> ended_;                             // by how
    std::map<std::pair<std::string, std::string>, int64_t> answered_;  // by path and status
};

}  // namespace hadal::serve
