// The memory behind DeviceCodec, by what it holds.
#pragma once

#include "compression/cuda/device_buffer.hpp"
#include "compression/cuda/launchers.hpp"

namespace longhaul::compression::cuda {

struct DeviceMemory {
  DeviceBuffer<uint32_t> refused;  // one
  DeviceBuffer<float> widened;     // a bfloat16 tensor as float32
  DeviceBuffer<float> values;      // the entries sent, in mask order
  DeviceBuffer<double> terms;      // of sums
  DeviceBuffer<double> other_terms;
  DeviceBuffer<uint64_t> chunk_sums;  // of prefix sums
  // Value sections.
  DeviceBuffer<uint16_t> narrowed;  // bfloat16
  DeviceBuffer<uint16_t> scales;
  DeviceBuffer<uint32_t> codes;  // plain, or as symbols
  DeviceBuffer<uint32_t> frequencies;
  DeviceBuffer<uint32_t> huffman_table;
  DeviceBuffer<uint32_t> chunk_bytes;
  DeviceBuffer<uint64_t> chunk_offsets;
  DeviceBuffer<uint32_t> packed;
  // Selection.
  DeviceBuffer<uint32_t> magnitudes;
  DeviceBuffer<uint32_t> cuts;
  SelectMemory select;
  CompactionMemory compaction;
  DeviceBuffer<uint32_t> kept;  // of indexed payloads; of others a mask that nobody wants
  DeviceBuffer<uint32_t> places;
  // Index sections.
  DeviceBuffer<uint8_t> coarse;
  DeviceBuffer<uint8_t> fine;
  DeviceBuffer<uint32_t> coarse_bytes;
  DeviceBuffer<uint32_t> fine_bytes;
  DeviceBuffer<uint64_t> coarse_offsets;
  DeviceBuffer<uint64_t> fine_offsets;
  DeviceBuffer<uint32_t> index_bits;
  DeviceBuffer<uint32_t> steps;
  DeviceBuffer<uint64_t> step_sums;
};

}  // namespace longhaul::compression::cuda
