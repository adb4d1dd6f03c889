// A multimodal model of 72 billion parameters, from stated numbers, on a cluster of one kind of
// device.
#pragma once

#include "scheduler/disaggregated/units.hpp"

#include <cstdint>

namespace longhaul::scheduler {

// Encoder: a vision transformer (32 layers, hidden 1280, 0.63 B parameters), 16 images of 1024
// patches per sample. Backbone: 80 layers, hidden 8192, feed-forward 28672 gated, 8 of 64 heads for
// keys, vocabulary 128256 (70.6 B), sequences of 8192 tokens. Generator: a
// diffusion transformer (28 layers, hidden 1536, 1.2 B), 4 images of 4096 latent tokens, one
// denoising step each. All trained, each with or without recomputation, with Adam in bf16,
// optimizer states sharded. Devices: 80 GiB, of which 72 are given to units, 312 TFLOP/s. Fractions
// of the peak at tensor degrees 1, 2, 4, 8, assumed: backbone 0.60, 0.59, 0.57, 0.54; encoder and
// generator, whose matrices are small, 0.50, 0.42, 0.30, 0.18.
struct Multimodal72b {
  std::uint32_t devices = 1296;
  std::uint32_t batch = 1920;
  std::uint32_t micro_batch = 1;
  bool whole_images = false;  // brokers deal whole images instead of any part of a sample
};

[[nodiscard]] UnitsProblem multimodal_72b(const Multimodal72b& cluster);

}  // namespace longhaul::scheduler
