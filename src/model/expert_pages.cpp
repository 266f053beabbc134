#include "model/expert_pages.h"

#include <unistd.h>

#include <memory>

#include "core/file_map.h"

namespace hadal::model {

namespace {

int64_t read_ahead(const Linear& linear) {
    int64_t bytes = 0;
    for (const Tensor* tensor :
         {&linear.weight, &linear.codes.codes, &linear.codes.scale, &linear.int4.packed,
          &linear.int4.scale, &linear.int8.packed, &linear.int8.scale}) {
        if (tensor->empty()) continue;
        hadal::read_ahead({tensor->data(), size_t(tensor->bytes())});
        bytes += tensor->bytes();
    }
    return bytes;
}

int64_t expert_bytes(const FeedForwardWeights& expert) {
    int64_t bytes = 0;
    for (const Linear* linear : {&expert.gate_proj, &expert.up_proj, &expert.down_proj})
        bytes += held_bytes(*linear);
    return bytes;
}

}  // namespace

int64_t ExpertPages::bring(const std::vector<FeedForwardWeights>& experts,
                           std::span<const int64_t> offsets) {
    int64_t bytes = 0;
    for (size_t e = 0; e < experts.size(); ++e) {
        if (offsets[e + 1] == offsets[e] || (asked_[e] != 0 && !again_)) continue;
        asked_[e] = 1;
        const FeedForwardWeights& expert = experts[e];
        for (const Linear* linear : {&expert.gate_proj, &expert.up_proj, &expert.down_proj})
            bytes += read_ahead(*linear);
    }
    return bytes;
}

void bring_experts_when_chosen(Weights& weights) {
    std::vector<MoeWeights*> layers;
    for (LayerWeights& layer : weights.layers) layers.push_back(&layer.moe);
    for (MtpWeights& module : weights.mtp) layers.push_back(&module.layer.moe);
    int64_t bytes = 0;
    for (const MoeWeights* layer : layers) {
        if (!layer->experts.empty())
            bytes += int64_t(layer->experts.size()) * expert_bytes(layer->experts.front());
    }
    const int64_t memory = int64_t(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
    for (MoeWeights* layer : layers)
        layer->pages = std::make_shared<ExpertPages>(layer->experts.size(), bytes > memory);
}

}  // namespace hadal::model
