// Sums in the format's fixed order, and the values that the codecs refuse.
//
// What it computes: the sum of squares in pieces of 4096 values, value i of a piece in lane i mod
// 16, then lane j + 8 added to lane j, 4, 2, 1, then the pieces one after the other; beside it the
// lowest position of a NaN, an infinity or a magnitude of 2^100 or more. CPU reference: scan() of
// kernels_scalar.cpp, as top_k.cpp and value_section.cpp call it.
//
// A half-warp takes a piece: the order leaves a chain of 256 additions to each lane. The squares
// are exact, so that a fused addition gives the same sum for half the instructions. Blocks are
// small, so that the pieces are spread over the device. The last sum, over the pieces, is one chain
// of additions: the host's (device_values.cpp).
//
// Floor: 4 bytes read for each value.
#include "compression/cuda/launchers.hpp"
#include "compression/cuda/warp.cuh"

namespace longhaul::compression::cuda {
namespace {

constexpr unsigned kHalf = static_cast<unsigned>(kLanes);
constexpr unsigned kScanThreads = 64;

__device__ inline uint32_t bf16_bits(float value) {
  const uint32_t bits = __float_as_uint(value);
  return (bits + 0x7fffU + (bits >> 16 & 1U)) >> 16 & 0xffffU;
}

__global__ void scan_kernel(ScanTask task, uint32_t pieces_of_row, uint32_t pieces) {
  const uint32_t piece = (blockIdx.x * kScanThreads + threadIdx.x) / kHalf;
  const unsigned lane = threadIdx.x % kHalf;
  const uint32_t row = piece / pieces_of_row;
  const auto first = static_cast<uint32_t>((piece - row * pieces_of_row) * kPiece);
  uint32_t length = 0;
  if (piece < pieces) {
    length = task.columns - first < kPiece ? task.columns - first : static_cast<uint32_t>(kPiece);
  }
  const std::size_t begin = std::size_t{row} * task.columns + first;
  double sum = 0.0;
  uint32_t refused = kNoPosition;
#pragma unroll 8
  for (uint32_t i = lane; i < length; i += kHalf) {  // no branch: loads need not wait
    float value = task.values[begin + i];
    const auto at = static_cast<uint32_t>(begin + i);
    if (magnitude_of(value) >= kRefusedMagnitude && refused > at) refused = at;
    if (task.measured == Measured::kLossAsBf16) {
      value = __fsub_rn(__uint_as_float(bf16_bits(value) << 16), value);
    }
    const auto wide = static_cast<double>(value);
    sum = __fma_rn(wide, wide, sum);
  }
  if (refused != kNoPosition) atomicMin(&task.refused[0], refused);
  for (unsigned width = kHalf / 2; width > 0; width /= 2) {
    sum = __dadd_rn(sum, __shfl_down_sync(kAllLanes, sum, width, kHalf));
  }
  if (lane == 0 && piece < pieces) task.squares[piece] = sum;
}

}  // namespace

std::size_t scan_pieces(uint32_t rows, uint32_t columns) {
  return std::size_t{rows} * pieces_of(columns, kPiece);
}

void scan(const ScanTask& task) {
  const auto pieces = static_cast<uint32_t>(scan_pieces(task.rows, task.columns));
  if (pieces == 0) return;
  launch(scan_kernel, dim3{pieces_of(pieces, kScanThreads / kHalf)}, dim3{kScanThreads}, task,
         pieces / task.rows, pieces);
}

}  // namespace longhaul::compression::cuda
