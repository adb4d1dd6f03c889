// Text files as tokens, tokenised once and kept in a file.
#pragma once

#include "compnode/data/dataset.hpp"
#include "compnode/data/token_stream.hpp"
#include "compnode/data/tokenizer.hpp"
#include "proto/error.hpp"
#include "proto/job.pb.h"

#include <functional>

namespace longhaul::compnode {

// The cache file is FOLDER/KEY.tokens. KEY is a hash of this format's version, the tokenizer's
// files, the text field, and each source's kind and bytes in order; so it is never out of date, and
// whatever is no longer wanted may be deleted at any time.
//
//   bytes     what (little-endian)
//   0..7      "LHTOKENS"
//   8..11     version, 1
//   12..15    bits of an id: 16 if the tokenizer's vocabulary allows it, else 32
//   16..23    number of ids
//   24..31    XXH3-64 of the ids' bytes
//   32..63    zero
//   64..      the ids
//
// The ids of a document are followed by the end-of-text id; empty documents are left out. A file
// that is damaged is written anew. Who writes holds an exclusive lock on FOLDER/KEY.lock; the
// others wait for it and find the finished file.
[[nodiscard]] proto::Result<TokenStream> cached_tokens(
    const wire::DataSource& source, const Tokenizer& tokenizer,
    const std::function<void(const TokenizingProgress&)>& progress);

}  // namespace longhaul::compnode
