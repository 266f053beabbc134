#include "checkpoint/v3_layout.h"

#include <doctest/doctest.h>

#include "checkpoint/hugging_face.h"
#include "checkpoint/temporary_directory.h"

using hadal::DType;
using hadal::checkpoint::HuggingFace;
using hadal::checkpoint::TensorInfo;

TEST_CASE(
    "hugging_face: the 671B model's 163 files open without reading a weight and give its exact "
    "counts") {
    const hadal::test::TemporaryDirectory scratch;
    hadal::test::write_v3_layout(scratch / "v3");
    const HuggingFace model = HuggingFace::open(scratch / "v3");
    CHECK(model.num_files() == 163);
    CHECK(model.tensors().size() == 91'991);
    CHECK(model.tensor_bytes() == 688'574'839'360);
    int64_t elements_f8 = 0;
    int64_t elements_bf16 = 0;
    int64_t elements_f32 = 0;
    for (const TensorInfo& tensor : model.tensors()) {
        (tensor.dtype == DType::f8_e4m3 ? elements_f8
         : tensor.dtype == DType::bf16  ? elements_bf16
                                        : elements_f32) += tensor.shape.count();
    }
    CHECK(elements_f8 == 680'571'043'840);
    CHECK(elements_bf16 == 3'918'786'560);
    CHECK(elements_f32 == 41'555'600);
    CHECK(model.contains("model.layers.60.mlp.experts.255.down_proj.weight_scale_inv"));
    // Its two ends are the header's page and a hole a few gigabytes on.
    const hadal::Tensor last = model.load("model.layers.61.shared_head.head.weight");
    CHECK(last.row<hadal::bf16>(129'279)[7167].bits == 0);
}
