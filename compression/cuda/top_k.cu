// Exact top-k: histograms of magnitude bits narrow the threshold down, ties are cut by position.
//
// What it computes: of each row, or of all values, the magnitude T of the k-th largest and the
// position up to which entries equal to T are kept: exactly k entries reach that. CPU reference:
// sort positions by magnitude, largest first, then by position; T and the position of entry k - 1
// (top_k.cpp finds the same set by search).
//
// A magnitude has 31 bits: a histogram of the upper 11, then of the next 10 among those that share
// the bin that entry k is in, then of the last 10. Rows: a block each, histogram in shared memory.
// All values: blocks count in shared memory and add to one histogram of the device.
//
// Floor: 4 bytes read for each value. Rows read theirs three times, and once more up to the cut:
// from the cache, for the rows of models. The whole tensor is read four times from memory.
#include "compression/cuda/launchers.hpp"
#include "compression/cuda/warp.cuh"

namespace longhaul::compression::cuda {
namespace {

constexpr unsigned kBins = 2048;
constexpr unsigned kBinsPerThread = kBins / kThreads;
constexpr unsigned kPasses = 3;
constexpr std::size_t kChunk = 2048;    // of values, in the search for the cut
constexpr std::size_t kStripe = 16384;  // of values, that a block counts

// Of a pass: which bits are the bin. The bits above them are what earlier passes have found.
struct Digit {
  unsigned shift = 0;
  unsigned bits = 0;
};
__device__ inline Digit digit_of(unsigned pass) {
  return pass == 0 ? Digit{20, 11} : pass == 1 ? Digit{10, 10} : Digit{0, 10};
}

// `rank`-th largest of those that begin with `prefix`.
struct Wanted {
  uint32_t prefix = 0;
  uint32_t rank = 0;
};

// The whole block.
__device__ inline void clear_bins(Shared<uint32_t> bins) {
  for (unsigned i = threadIdx.x; i < kBins; i += kThreads) bins[i] = 0;
  __syncthreads();
}

__device__ inline void count_value(Shared<uint32_t> bins, uint32_t magnitude, uint32_t prefix,
                                   Digit digit) {
  if (magnitude >> digit.shift >> digit.bits != prefix) return;
  atomicAdd(&bins[magnitude >> digit.shift & ((1U << digit.bits) - 1)], 1U);
}

// The whole block: those of values [begin, end). Four loads of a thread do not wait for each other.
__device__ inline void count_values(Shared<uint32_t> bins, In<float> values, std::size_t begin,
                                    std::size_t end, uint32_t prefix, Digit digit) {
  constexpr unsigned kLoads = 4;
  constexpr uint32_t kNone = 0xffffffffU;  // no magnitude has bit 31, so that it begins with none
  for (std::size_t first = begin + threadIdx.x; first < end; first += kLoads * kThreads) {
    uint32_t magnitudes[kLoads];
#pragma unroll
    for (unsigned j = 0; j < kLoads; ++j) {
      const std::size_t i = first + j * kThreads;
      magnitudes[j] = kNone;
      if (i < end) magnitudes[j] = magnitude_of(values[i]);
    }
#pragma unroll
    for (unsigned j = 0; j < kLoads; ++j) count_value(bins, magnitudes[j], prefix, digit);
  }
}

// The whole block, once it has passed a barrier after counting: the bin of the wanted entry. A
// thread sums kBinsPerThread bins, thread 0 the highest ones; one thread finds its own to be it.
__device__ inline Wanted narrow_down(Shared<uint32_t> bins, Wanted wanted, Digit digit) {
  LONGHAUL_SHARED(uint32_t, found, 2);
  const unsigned top = kBins - 1 - threadIdx.x * kBinsPerThread;
  uint32_t sum = 0;
  for (unsigned j = 0; j < kBinsPerThread; ++j) sum += bins[top - j];
  uint32_t total = 0;
  uint32_t above = exclusive_sum_of_block(sum, total);
  if (above < wanted.rank && wanted.rank <= above + sum) {
    unsigned bin = top;
    for (; above + bins[bin] < wanted.rank; --bin) above += bins[bin];
    found[0] = bin;
    found[1] = above;
  }
  __syncthreads();
  wanted.prefix = wanted.prefix << digit.bits | found[0];
  wanted.rank -= found[1];
  __syncthreads();
  return wanted;
}

// The whole block: the position of the tie with this rank, among values [begin, end).
__device__ inline void find_cut(In<float> values, std::size_t begin, std::size_t end,
                                uint32_t magnitude, uint32_t rank, Out<uint32_t> cut) {
  uint32_t before = 0;
  for (std::size_t first = begin; first < end && before < rank; first += kThreads) {
    const std::size_t i = first + threadIdx.x;
    uint32_t tie = 0;
    if (i < end && magnitude_of(values[i]) == magnitude) tie = 1;
    uint32_t total = 0;
    const uint32_t own = before + exclusive_sum_of_block(tie, total);
    if (tie == 1 && own + 1 == rank) cut[0] = static_cast<uint32_t>(i);
    before += total;
  }
}

__global__ void select_rows_kernel(In<float> values, uint32_t columns, uint32_t k,
                                   Out<uint32_t> magnitudes, Out<uint32_t> cuts) {
  LONGHAUL_SHARED(uint32_t, bins, kBins);
  const std::size_t begin = std::size_t{blockIdx.x} * columns;
  Wanted wanted{.prefix = 0, .rank = k};
  for (unsigned pass = 0; pass < kPasses; ++pass) {
    const Digit digit = digit_of(pass);
    clear_bins(bins);
    count_values(bins, values, begin, begin + columns, wanted.prefix, digit);
    __syncthreads();
    wanted = narrow_down(bins, wanted, digit);
  }
  if (threadIdx.x == 0) magnitudes[blockIdx.x] = wanted.prefix;
  find_cut(values, begin, begin + columns, wanted.prefix, wanted.rank, cuts + blockIdx.x);
}

// state: prefix and rank of what is wanted.
__global__ void histogram_kernel(In<float> values, std::size_t count, unsigned pass,
                                 In<uint32_t> state, Out<uint32_t> bins) {
  LONGHAUL_SHARED(uint32_t, own_bins, kBins);
  const Digit digit = digit_of(pass);
  const uint32_t prefix = state[0];
  clear_bins(own_bins);
  const std::size_t begin = blockIdx.x * kStripe;
  const std::size_t end = begin + kStripe < count ? begin + kStripe : count;
  count_values(own_bins, values, begin, end, prefix, digit);
  __syncthreads();
  for (unsigned i = threadIdx.x; i < kBins; i += kThreads) {
    const uint32_t counted = own_bins[i];
    if (counted != 0) atomicAdd(&bins[i], counted);
  }
}

// Leaves the histogram empty for the next pass.
__global__ void narrow_down_kernel(unsigned pass, Out<uint32_t> state, Out<uint32_t> bins,
                                   Out<uint32_t> magnitudes) {
  LONGHAUL_SHARED(uint32_t, own_bins, kBins);
  for (unsigned i = threadIdx.x; i < kBins; i += kThreads) {
    own_bins[i] = bins[i];
    bins[i] = 0;
  }
  Wanted wanted{.prefix = state[0], .rank = state[1]};
  __syncthreads();
  wanted = narrow_down(own_bins, wanted, digit_of(pass));
  if (threadIdx.x != 0) return;
  state[0] = wanted.prefix;
  state[1] = wanted.rank;
  magnitudes[0] = wanted.prefix;
}

__global__ void first_state_kernel(Out<uint32_t> state, uint32_t k) {
  state[0] = 0;
  state[1] = k;
}

__global__ void count_ties_kernel(In<float> values, std::size_t count, In<uint32_t> state,
                                  Out<uint32_t> ties) {
  const uint32_t magnitude = state[0];
  const std::size_t begin = blockIdx.x * kChunk;
  uint32_t own = 0;
  for (unsigned j = 0; j < kChunk / kThreads; ++j) {
    const std::size_t i = begin + j * kThreads + threadIdx.x;
    if (i < count && magnitude_of(values[i]) == magnitude) ++own;
  }
  uint32_t total = 0;
  (void)exclusive_sum_of_block(own, total);
  if (threadIdx.x == 0) ties[blockIdx.x] = total;
}

// Only the chunk that holds the last kept tie has something to do.
__global__ void cut_kernel(In<float> values, std::size_t count, In<uint32_t> state,
                           In<uint64_t> ties_before, Out<uint32_t> cuts) {
  const uint32_t rank = state[1];
  const uint64_t before = ties_before[blockIdx.x];
  if (rank <= before || rank > ties_before[blockIdx.x + 1]) return;  // the whole block
  const std::size_t begin = blockIdx.x * kChunk;
  const std::size_t end = begin + kChunk < count ? begin + kChunk : count;
  find_cut(values, begin, end, state[0], rank - static_cast<uint32_t>(before), cuts);
}

}  // namespace

void select_per_row(In<float> values, uint32_t rows, uint32_t columns, uint32_t k,
                    Out<uint32_t> magnitudes, Out<uint32_t> cuts) {
  if (rows == 0 || columns == 0) return;
  launch(select_rows_kernel, dim3{rows}, dim3{kThreads}, values, columns, k, magnitudes, cuts);
}

void select_global(In<float> values, std::size_t count, uint32_t k, SelectMemory& memory,
                   Out<uint32_t> magnitudes, Out<uint32_t> cuts) {
  if (count == 0) return;
  const dim3 block{kThreads};
  const auto state = memory.state.resize(2);
  const auto bins = memory.bins.resize(kBins);
  launch(first_state_kernel, dim3{1}, dim3{1}, state, k);
  fill(bins, kBins, 0);
  for (unsigned pass = 0; pass < kPasses; ++pass) {
    launch(histogram_kernel, dim3{pieces_of(count, kStripe)}, block, values, count, pass,
           In<uint32_t>(state), bins);
    launch(narrow_down_kernel, dim3{1}, block, pass, state, bins, magnitudes);
  }
  const unsigned chunks = pieces_of(count, kChunk);
  const auto ties = memory.chunk_ties.resize(chunks);
  const auto ties_before = memory.ties_before.resize(chunks + 1);
  launch(count_ties_kernel, dim3{chunks}, block, values, count, In<uint32_t>(state), ties);
  prefix_sums(ties, chunks, memory.chunk_sums, ties_before);
  launch(cut_kernel, dim3{chunks}, block, values, count, In<uint32_t>(state),
         In<uint64_t>(ties_before), cuts);
}

}  // namespace longhaul::compression::cuda
