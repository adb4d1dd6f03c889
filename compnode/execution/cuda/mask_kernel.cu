// Counter-based dropout masks.
//
// What it computes: byte i of sequence s is 1 if hash(hash_key(key ^ s), i) >= threshold, else 0.
// CPU reference: random_mask() of random_mask.cpp.
//
// A thread makes 16 bytes beside each other and stores them at once; a sequence may end within
// them. Floor: one byte written for each element.
#include "compnode/execution/cuda/mask_kernel.hpp"
#include "compression/random.hpp"

namespace longhaul::compnode {
namespace {

using compression::hash;
using compression::hash_key;
using compression::HashKey;
using compression::cuda::FourWords;
using compression::cuda::kThreads;
using namespace compression::cuda;  // NOLINT: threadIdx and its like, in the emulation

constexpr std::size_t kEach = 16;

__global__ void mask_kernel(MaskTask task) {
  const std::size_t first = (std::size_t{blockIdx.x} * kThreads + threadIdx.x) * kEach;
  if (first >= task.elements) return;
  std::uint64_t sequence = first / task.per_sequence;
  auto i = static_cast<std::uint32_t>(first - sequence * task.per_sequence);
  HashKey key = hash_key(task.key ^ (task.first_sequence + sequence));
  FourWords four;
#pragma unroll
  for (unsigned word = 0; word < 4; ++word) {
#pragma unroll
    for (unsigned byte = 0; byte < 4; ++byte) {
      if (i == task.per_sequence) {
        ++sequence;
        i = 0;
        key = hash_key(task.key ^ (task.first_sequence + sequence));
      }
      four.word[word] |= (hash(key, i) >= task.threshold ? 1U : 0U) << 8 * byte;
      ++i;
    }
  }
  store_four(task.words, first / 4, four);
}

}  // namespace

void fill_mask_on_device(const MaskTask& task) {
  if (task.elements == 0) return;
  launch(mask_kernel, dim3{pieces_of(task.elements, kEach * kThreads)}, dim3{kThreads}, task);
}

}  // namespace longhaul::compnode
