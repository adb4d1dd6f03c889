// The worker's one-shot commands; each returns an exit code and writes one-line errors.
#pragma once

#include <string>

namespace longhaul::compnode {

// As the system names this host's processor.
[[nodiscard]] std::string cpu_model();

// wire::SubmitJob on standard input; every error one line on standard error; 0 or 2.
[[nodiscard]] int preflight_command();

// Devices of this host with measured matrix-product rates, as JSON on standard output:
// {"torch", "blas": {"name", "file", "reference"},
//  "cpu": {"description", "threads", "memory_bytes", "fp32_gflops", "bf16_gflops"},
//  "cuda": [{"name", "description", "memory_bytes"}]}, and a "warning" where the BLAS is slow.
// `quick` leaves the measurements out.
[[nodiscard]] int probe_command(bool quick);

// wire::ProfileRequest on standard input; writes a profile, JSON of the form that
// deploy/schemas/profile.schema.json describes.
[[nodiscard]] int profile_command();

// wire::GenerateRequest on standard input; writes the text as it is made, the prompt included.
[[nodiscard]] int generate_command();

// wire::DataRequest on standard input; writes a split and describes the data as JSON: {"tokens",
// "train_sequences", "holdout_sequences", "sequence_length", "vocabulary_size",
// "unigram_cross_entropy", "fingerprint", "path", "token_bits", "tokens_written"}.
[[nodiscard]] int data_command();

}  // namespace longhaul::compnode
