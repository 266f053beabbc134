#include "data/encoder.h"

#include "core/error.h"
#include "text/control_tokens.h"
#include "text/tokenizer.h"

namespace hadal::data {

Encoder encoder_of(const text::Tokenizer& tokenizer) {
    Encoder encoder;
    encoder.encode = [&tokenizer](std::string_view text) { return tokenizer.encode(text); };
    encoder.vocab_size = tokenizer.vocab_size();
    if (tokenizer.add_bos()) encoder.bos = tokenizer.bos_id();
    if (!tokenizer.eos_id()) {
        throw Error(Error::Kind::bad_input,
                    "the tokenizer has no end of sentence (its configuration must name eos_token)");
    }
    encoder.eos = *tokenizer.eos_id();
    const auto begin = tokenizer.id_of(text::kFimBegin);
    const auto hole = tokenizer.id_of(text::kFimHole);
    const auto end = tokenizer.id_of(text::kFimEnd);
    if (begin && hole && end) encoder.middle = {*begin, *hole, *end};
    return encoder;
}

}  // namespace hadal::data
