// Prefix sums of counts: where in an output each part of an input begins.
//
// What it computes: sums[i] = counts[0] + ... + counts[i - 1]. CPU reference:
//   sum = 0; for each i { sums[i] = sum; sum += counts[i]; } sums[count] = sum;
//
// Chunks of 2048 counts: their totals, the prefix sums of the totals (one block, 256 at a time),
// then each chunk's own. Floor: 4 bytes read and 8 written for each count; 4 more are read, since
// the counts are read twice.
#include "compression/cuda/launchers.hpp"
#include "compression/cuda/warp.cuh"

namespace longhaul::compression::cuda {
namespace {

constexpr unsigned kPerThread = 8;
constexpr std::size_t kChunk = kThreads * kPerThread;

__global__ void total_kernel(In<uint32_t> counts, std::size_t count, Out<uint64_t> totals) {
  const std::size_t begin = blockIdx.x * kChunk;
  uint64_t sum = 0;
  for (unsigned j = 0; j < kPerThread; ++j) {
    const std::size_t i = begin + j * kThreads + threadIdx.x;
    if (i < count) sum += counts[i];
  }
  uint64_t total = 0;
  (void)exclusive_sum_of_block(sum, total);
  if (threadIdx.x == 0) totals[blockIdx.x] = total;
}

// Totals to their prefix sums, in place; the total of all goes to the end of `sums`.
__global__ void chunk_kernel(Out<uint64_t> totals, unsigned chunks, Out<uint64_t> sums,
                             std::size_t count) {
  uint64_t before = 0;
  for (unsigned first = 0; first < chunks; first += kThreads) {
    const unsigned i = first + threadIdx.x;
    uint64_t value = 0;
    if (i < chunks) value = totals[i];
    uint64_t total = 0;
    const uint64_t sum = exclusive_sum_of_block(value, total);
    if (i < chunks) totals[i] = before + sum;
    before += total;
  }
  if (threadIdx.x == 0) sums[count] = before;
}

// A warp has kPerThread times 32 counts beside each other, so that it reads and writes them whole.
__global__ void sum_kernel(In<uint32_t> counts, std::size_t count, In<uint64_t> before,
                           Out<uint64_t> sums) {
  const std::size_t begin =
      blockIdx.x * kChunk + warp_of_thread() * (kWarpLanes * kPerThread) + lane_of_thread();
  uint32_t own[kPerThread];
#pragma unroll
  for (unsigned j = 0; j < kPerThread; ++j) {  // nothing but loads, which need not wait
    const std::size_t i = begin + j * kWarpLanes;
    own[j] = 0;
    if (i < count) own[j] = counts[i];
  }
  uint64_t below[kPerThread];  // of a round, in the warp
  uint64_t warp = 0;
#pragma unroll
  for (unsigned j = 0; j < kPerThread; ++j) {
    const uint64_t inclusive = inclusive_sum_of_warp(uint64_t{own[j]});
    below[j] = warp + inclusive - own[j];
    warp += __shfl_sync(kAllLanes, inclusive, kWarpLanes - 1);
  }
  uint64_t total = 0;
  const uint64_t first = sum_of_warps_below(warp, total) + before[blockIdx.x];
#pragma unroll
  for (unsigned j = 0; j < kPerThread; ++j) {
    const std::size_t i = begin + j * kWarpLanes;
    if (i < count) sums[i] = first + below[j];
  }
}

}  // namespace

void prefix_sums(In<uint32_t> counts, std::size_t count, DeviceBuffer<uint64_t>& chunks,
                 Out<uint64_t> sums) {
  const unsigned number = pieces_of(count, kChunk);
  const auto totals = chunks.resize(number);
  if (number != 0) launch(total_kernel, dim3{number}, dim3{kThreads}, counts, count, totals);
  launch(chunk_kernel, dim3{1}, dim3{kThreads}, totals, number, sums, count);
  if (number == 0) return;
  launch(sum_kernel, dim3{number}, dim3{kThreads}, counts, count, In<uint64_t>(totals), sums);
}

}  // namespace longhaul::compression::cuda
