// The positions of the kept entries in their order: row-major, or mask order.
//
// What it computes: the list of positions that reach their row's threshold (top_k.cu), ascending;
// or in mask order (format.md, "Order") together with their places. CPU reference: collect_kept()
// of kernels_scalar.cpp, to_mask_order() of mask_indices.cpp.
//
// Twice the same walk: count the entries of each part, prefix sums of the counts, then each part
// writes from where its sum says. Parts are 2048 values for row-major order; for mask order they
// are the columns of a tile of 1024 rows. There a block takes 32 columns, a warp a strip of 32
// rows, so that each thread has its entries as the bits of one word.
//
// Floor: 4 bytes read for each value and 4 or 8 written for each entry; values are read twice.
#include "compression/cuda/launchers.hpp"
#include "compression/cuda/warp.cuh"

namespace longhaul::compression::cuda {
namespace {

constexpr unsigned kRounds = 8;
constexpr std::size_t kChunk = kThreads * kRounds;
constexpr unsigned kTileRows = 1024;
constexpr unsigned kStripRows = 32;

struct Cut {
  uint32_t magnitude = 0;
  uint32_t position = 0;  // of the last tie that is kept
};

// Of a row; of all values, where there is one for them all.
__device__ inline Cut cut_of(const Kept& kept, uint32_t row) {
  const uint32_t at = kept.per_row ? row : 0;
  return {kept.magnitudes[at], kept.cuts[at]};
}

__device__ inline bool is_kept(Cut cut, float value, uint32_t position) {
  const uint32_t magnitude = magnitude_of(value);
  return magnitude > cut.magnitude || (magnitude == cut.magnitude && position <= cut.position);
}

// A thread's values of a part, kStride apart; zeros beyond the end. Nothing but loads, which need
// not wait for each other.
struct OwnValues {
  float value[kRounds];
};

template <unsigned kStride>
__device__ OwnValues own_values(const Kept& kept, std::size_t begin, std::size_t count) {
  OwnValues own;
#pragma unroll
  for (unsigned round = 0; round < kRounds; ++round) {
    const std::size_t i = begin + round * kStride;
    own.value[round] = 0.0F;
    if (i < count) own.value[round] = kept.values[i];
  }
  return own;
}

__global__ void count_kernel(Kept kept, std::size_t count, Out<uint32_t> counts) {
  const std::size_t begin = blockIdx.x * kChunk + threadIdx.x;
  const OwnValues values = own_values<kThreads>(kept, begin, count);
  const Cut cut = cut_of(kept, 0);
  uint32_t own = 0;
#pragma unroll
  for (unsigned round = 0; round < kRounds; ++round) {
    const std::size_t i = begin + round * kThreads;
    if (i < count && is_kept(cut, values.value[round], static_cast<uint32_t>(i))) ++own;
  }
  uint32_t total = 0;
  (void)exclusive_sum_of_block(own, total);
  if (threadIdx.x == 0) counts[blockIdx.x] = total;
}

// A warp has kRounds times 32 values beside each other; votes say where each lane's entries go.
__global__ void compact_kernel(Kept kept, std::size_t count, In<uint64_t> offsets,
                               Out<uint32_t> positions) {
  const unsigned lane = lane_of_thread();
  const std::size_t begin = blockIdx.x * kChunk + warp_of_thread() * (kWarpLanes * kRounds) + lane;
  const OwnValues values = own_values<kWarpLanes>(kept, begin, count);
  const Cut cut = cut_of(kept, 0);
  uint32_t votes[kRounds];
  uint32_t found = 0;  // in the warp
#pragma unroll
  for (unsigned round = 0; round < kRounds; ++round) {
    const std::size_t i = begin + round * kWarpLanes;
    const bool own = i < count && is_kept(cut, values.value[round], static_cast<uint32_t>(i));
    votes[round] = __ballot_sync(kAllLanes, own);
    found += static_cast<uint32_t>(__popc(votes[round]));
  }
  uint32_t total = 0;
  uint64_t at = offsets[blockIdx.x] + sum_of_warps_below(found, total);
#pragma unroll
  for (unsigned round = 0; round < kRounds; ++round) {
    const uint32_t lower = votes[round] & ((1U << lane) - 1);
    if ((votes[round] >> lane & 1U) != 0) {
      positions[at + static_cast<uint32_t>(__popc(lower))] =
          static_cast<uint32_t>(begin + round * kWarpLanes);
    }
    at += static_cast<uint32_t>(__popc(votes[round]));
  }
}

// A thread's place in a tile: x is its column, y its strip.
struct Strip {
  uint32_t column = 0;
  uint32_t first_row = 0;    // of the strip
  uint32_t tile_row = 0;     // of the tile
  uint32_t tile_height = 0;  // rows
};

__device__ inline Strip own_strip(const Kept& kept) {
  const uint32_t tile_row = blockIdx.y * kTileRows;
  const uint32_t left = kept.rows - tile_row;
  return {.column = blockIdx.x * kWarpLanes + threadIdx.x,
          .first_row = tile_row + threadIdx.y * kStripRows,
          .tile_row = tile_row,
          .tile_height = left < kTileRows ? left : kTileRows};
}

// Bit r: whether the entry in the strip's row r is kept.
__device__ inline uint32_t kept_rows(const Kept& kept, const Strip& strip) {
  if (strip.column >= kept.columns) return 0;
  uint32_t rows = 0;
  for (unsigned first = 0; first < kStripRows; first += kRounds) {
    float values[kRounds];
    Cut cuts[kRounds];
#pragma unroll
    for (unsigned r = 0; r < kRounds; ++r) {
      const uint32_t row = strip.first_row + first + r;
      if (row >= kept.rows) continue;
      values[r] = kept.values[row * kept.columns + strip.column];
      cuts[r] = cut_of(kept, row);
    }
#pragma unroll
    for (unsigned r = 0; r < kRounds; ++r) {
      const uint32_t row = strip.first_row + first + r;
      if (row >= kept.rows) continue;
      if (is_kept(cuts[r], values[r], row * kept.columns + strip.column)) rows |= 1U << (first + r);
    }
  }
  return rows;
}

__global__ void count_columns_kernel(Kept kept, Out<uint32_t> counts) {
  LONGHAUL_SHARED(uint32_t, strip_counts, kTileRows);
  const Strip strip = own_strip(kept);
  strip_counts[threadIdx.y * kWarpLanes + threadIdx.x] =
      static_cast<uint32_t>(__popc(kept_rows(kept, strip)));
  __syncthreads();
  if (threadIdx.y != 0 || strip.column >= kept.columns) return;
  uint32_t sum = 0;
  for (unsigned y = 0; y < blockDim.y; ++y) sum += strip_counts[y * kWarpLanes + threadIdx.x];
  counts[std::size_t{blockIdx.y} * kept.columns + strip.column] = sum;
}

__global__ void mask_order_kernel(Kept kept, In<uint64_t> offsets, Out<uint32_t> mask,
                                  Out<uint32_t> places) {
  LONGHAUL_SHARED(uint32_t, strip_counts, kTileRows);
  const Strip strip = own_strip(kept);
  uint32_t rows = kept_rows(kept, strip);
  strip_counts[threadIdx.y * kWarpLanes + threadIdx.x] = static_cast<uint32_t>(__popc(rows));
  __syncthreads();
  if (rows == 0) return;
  uint64_t at = offsets[std::size_t{blockIdx.y} * kept.columns + strip.column];
  for (unsigned y = 0; y < threadIdx.y; ++y) at += strip_counts[y * kWarpLanes + threadIdx.x];
  const uint32_t first_place =
      strip.tile_row * kept.columns + strip.column * strip.tile_height - strip.tile_row;
  for (; rows != 0; rows &= rows - 1, ++at) {
    const uint32_t row = strip.first_row + static_cast<uint32_t>(__ffs(rows)) - 1;
    mask[at] = row * kept.columns + strip.column;
    places[at] = first_place + row;
  }
}

}  // namespace

void compact(const Kept& kept, CompactionMemory& memory, Out<uint32_t> positions) {
  const std::size_t count = std::size_t{kept.rows} * kept.columns;
  if (count == 0) return;
  const unsigned chunks = pieces_of(count, kChunk);
  const auto counts = memory.counts.resize(chunks);
  const auto offsets = memory.offsets.resize(chunks + 1);
  launch(count_kernel, dim3{chunks}, dim3{kThreads}, kept, count, counts);
  prefix_sums(counts, chunks, memory.chunk_sums, offsets);
  launch(compact_kernel, dim3{chunks}, dim3{kThreads}, kept, count, In<uint64_t>(offsets),
         positions);
}

void to_mask_order(const Kept& kept, CompactionMemory& memory, Out<uint32_t> mask,
                   Out<uint32_t> places) {
  if (kept.rows == 0 || kept.columns == 0) return;
  const unsigned tiles = pieces_of(kept.rows, kTileRows);
  const unsigned height = kept.rows < kTileRows ? kept.rows : kTileRows;
  const dim3 block{kWarpLanes, pieces_of(height, kStripRows)};
  const dim3 grid{pieces_of(kept.columns, kWarpLanes), tiles};
  const std::size_t parts = std::size_t{tiles} * kept.columns;
  const auto counts = memory.counts.resize(parts);
  const auto offsets = memory.offsets.resize(parts + 1);
  launch(count_columns_kernel, grid, block, kept, counts);
  prefix_sums(counts, parts, memory.chunk_sums, offsets);
  launch(mask_order_kernel, grid, block, kept, In<uint64_t>(offsets), mask, places);
}

}  // namespace longhaul::compression::cuda
