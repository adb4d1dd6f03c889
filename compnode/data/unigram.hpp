// How well a model that knows nothing but token frequencies predicts the held-out text.
#pragma once

#include "compnode/data/dataset.hpp"

namespace longhaul::compnode {

// Mean of -ln p(target) over the held-out targets, in nats, where p is estimated from the training
// targets: with n targets of u distinct tokens, a token seen c times has p = c / (n + u), and the
// remaining u / (n + u) is shared evenly by the tokens never seen (Witten and Bell, 1991). If every
// token of the vocabulary was seen, p = c / n. Requires a held-out split. Reads every sequence
// once.
[[nodiscard]] double unigram_cross_entropy(const TokenDataset& dataset);

}  // namespace longhaul::compnode
