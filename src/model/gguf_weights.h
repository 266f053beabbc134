// The parameters of a model in a GGUF file of architecture `deepseek2`, one at a time. The file
// differs from a Hugging Face checkpoint in three ways: names; the experts of a layer are one
// tensor; and W^UK, W^UV are two tensors, the first transposed per head, since the files' engine
// multiplies it from the other side.
#pragma once

#include <map>
#include <string>

#include "checkpoint/gguf.h"
#include "core/context.h"
#include "core/progress.h"
#include "model/parameters.h"

namespace hadal::model {

class GgufWeights {
  public:
    /// Finds every parameter of the configuration; reads none. `file` must outlive this.
    /// Error(corrupt_file) names a tensor that is missing or has another shape, Error(unsupported)
    /// one that the configuration has no use for: leaving it out could change the model.
    GgufWeights(const checkpoint::Gguf& file, const ModelConfig& config);

    /// The values of a parameter of the configuration, dequantised and rounded to the type of
    /// `values`. Error(corrupt_file) if one is not finite.
    void read(Context& context, const Parameter& parameter,
              Tensor& values) const;  // [parameter.shape] bf16|f32

    /// The parameter where it lies in the mapped file, if it lies there as the configuration has it
    /// and in type `dtype`; else an empty tensor. Values are not looked at.
    Tensor view(const Parameter& parameter, DType dtype) const;

    /// All parameters in the types of `precision`: where they lie if that serves, else dequantised
    /// into memory. Error as read for those.
    Weights load(Context& context, const Precision& precision,
                 const ProgressCallback& progress) const;

  private:
    /// Where a parameter lies: a tensor, or one part of its first dimension.
    struct Place {
        const checkpoint::GgufTensor* tensor = nullptr;
        int64_t part = -1;                                  // −1: the whole tensor
        const checkpoint::GgufTensor* values_up = nullptr;  // W^UV, if `tensor` is W^UK alone
    };

    Place find(const Parameter& parameter);
    /// The tensor, which must have `shape`.
    const checkpoint::GgufTensor* use(const std::string& name, const Shape& shape);
    void read_rows(Context& context, const Place& place, Tensor& values) const;
    void read_heads(Context& context, const Place& place, Tensor& values) const;

    const checkpoint::Gguf& file_;
    const ModelConfig config_;
    std::map<std::string, Place, std::less<>> places_;  // by the parameter's name
    std::map<std::string_view, bool> used_;             // tensors of the file
};

}  // namespace hadal::model
