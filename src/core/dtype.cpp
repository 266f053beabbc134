#include "core/dtype.h"

namespace hadal {

std::string_view name(DType dtype) {
    switch (dtype) {
        case DType::f64:
            return "f64";
        case DType::f32:
            return "f32";
        case DType::bf16:
            return "bf16";
        case DType::f16:
            return "f16";
        case DType::f8_e4m3:
            return "f8_e4m3";
        case DType::f8_e5m2:
            return "f8_e5m2";
        case DType::i64:
            return "i64";
        case DType::i32:
            return "i32";
        case DType::i16:
            return "i16";
        case DType::i8:
            return "i8";
        case DType::u8:
            return "u8";
    }
    return "?";
}

}  // namespace hadal
