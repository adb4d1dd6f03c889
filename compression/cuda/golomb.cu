// Golomb codes of gaps: groups of 2048 are a block each, to write; a thread each, to read.
//
// What it computes: format.md, "Index section": parameters for whole groups and for 64 gaps, the
// bytes of each group under both, then the groups' bits; and foreign bits back to places. CPU
// reference: plan_index_section(), write_index_section() and read_index_section() of
// mask_indices.cpp.
//
// To write in parallel: a thread measures the codes of its 8 gaps, the prefix sums of the lengths
// say at which bit it begins, and it sets its bits in shared memory, which is zero before: the
// zeros of a quotient cost nothing. To read, a code's begin is known only after the one before it,
// so a group is one thread's; the places are prefix sums again. Blocks are single warps there, of
// which no more lanes read than must, so that the groups of a tensor are spread over the device.
//
// Floor: 4 bytes read for each gap, a byte or so written.
#include "compression/cuda/launchers.hpp"
#include "compression/cuda/warp.cuh"

namespace longhaul::compression::cuda {
namespace {

constexpr unsigned kGapsOfThread = 8;
static_assert(kGolombGroup == kThreads * kGapsOfThread);
constexpr unsigned kThreadsOfFine = kGolombFine / kGapsOfThread;
constexpr unsigned kLargestParameter = 62;
// A parameter's divisor is at least 0.56 of the mean gap, so that quotients add less than two bits
// to a gap's 1 + 1 + 30: a group has at most 2048 * 34 bits.
constexpr unsigned kWordsOfGroup = kGolombGroup * 34 / 32 + 1;  // one is for write_bits()
constexpr uint32_t kGroup = static_cast<uint32_t>(kGolombGroup);
constexpr uint64_t kMostElements = uint64_t{1} << 31;

// The divisor M: 2^shift, or 3 * 2^shift.
struct Golomb {
  unsigned shift = 0;
  bool three = false;
};

__device__ inline Golomb golomb_of(unsigned parameter) {
  if (parameter == 0) return {0, false};
  return parameter % 2 == 1 ? Golomb{(parameter + 1) / 2, false} : Golomb{parameter / 2 - 1, true};
}

__device__ inline uint64_t divisor_of(Golomb golomb) {
  return uint64_t{golomb.three ? 3U : 1U} << golomb.shift;
}

__device__ inline unsigned log2_of(uint64_t x) {
  return 63U - static_cast<unsigned>(__clzll(static_cast<long long>(x)));
}

// The smallest t with 128 (2 S + G) < c M G. Divisors up to 2^s are too small where
// 542 G 2^s <= 128 (2 S + G), which the logarithms say: the search begins after them.
__device__ inline unsigned parameter_for(uint64_t sum, uint64_t count) {
  const uint64_t mean = 128 * (2 * sum + count);
  const unsigned too_small = log2_of(542 * count) + 1;
  const unsigned log2_mean = log2_of(mean);
  unsigned parameter = log2_mean > too_small ? 2 * (log2_mean - too_small) : 0;
#pragma unroll 1
  for (; parameter < kLargestParameter; ++parameter) {
    const Golomb golomb = golomb_of(parameter);
    const uint64_t factor = parameter == 0 ? 542 : golomb.three ? 428 : 455;
    if (mean < factor * divisor_of(golomb) * count) break;
  }
  return parameter;
}

struct Code {
  uint32_t quotient = 0;
  uint64_t rest = 0;   // the one, then what follows it
  unsigned width = 0;  // of rest
};

__device__ inline Code code_of(uint32_t gap, Golomb golomb) {
  const uint32_t part = gap >> golomb.shift;
  const uint32_t low = gap & ((1U << golomb.shift) - 1);
  if (!golomb.three) return {part, 1 | uint64_t{low} << 1, 1 + golomb.shift};
  const uint32_t quotient = part / 3;
  const uint32_t third = part - 3 * quotient;
  if (third == 0) return {quotient, 1 | uint64_t{low} << 2, 2 + golomb.shift};
  const uint32_t bits = third == 1 ? 1 : 3;
  return {quotient, 1 | uint64_t{bits} << 1 | uint64_t{low} << 3, 3 + golomb.shift};
}

__device__ inline uint32_t bits_of(uint32_t gap, Golomb golomb) {
  const Code code = code_of(gap, golomb);
  return code.quotient + code.width;
}

// The gaps of one thread; `count` of them exist.
struct Gaps {
  uint32_t gap[kGapsOfThread];
  unsigned count = 0;
};

// Of this thread: groups are the blocks'.
__device__ inline uint32_t first_gap() {
  return (blockIdx.x * kThreads + threadIdx.x) * kGapsOfThread;
}

__device__ inline Gaps own_gaps(In<uint32_t> places, uint32_t count) {
  const uint32_t begin = first_gap();
  Gaps gaps;
  gaps.count = begin >= count ? 0 : count - begin < kGapsOfThread ? count - begin : kGapsOfThread;
  uint32_t next = 0;
  if (gaps.count != 0 && begin != 0) next = places[begin - 1] + 1;
#pragma unroll
  for (unsigned j = 0; j < kGapsOfThread; j += 4) {
    const FourWords four = load_four_below(places, begin + j, count);
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
      const uint32_t place = four.word[i];
      gaps.gap[j + i] = j + i < gaps.count ? place - next : 0;
      next = place + 1;
    }
  }
  return gaps;
}

__device__ inline uint32_t bits_of_own(const Gaps& gaps, Golomb golomb) {
  uint32_t bits = 0;
#pragma unroll
  for (unsigned j = 0; j < kGapsOfThread; ++j) {
    if (j < gaps.count) bits += bits_of(gaps.gap[j], golomb);
  }
  return bits;
}

__global__ void plan_kernel(GolombPlan plan) {
  const Gaps gaps = own_gaps(plan.places, plan.count);
  uint32_t sum = 0;  // of gaps: below the places' bound of 2^31
#pragma unroll
  for (unsigned j = 0; j < kGapsOfThread; ++j) sum += gaps.gap[j];

  uint32_t fine_sum = sum;
  uint32_t fine_count = gaps.count;
  for (unsigned lanes = 1; lanes < kThreadsOfFine; lanes *= 2) {
    fine_sum += __shfl_xor_sync(kAllLanes, fine_sum, lanes);
    fine_count += __shfl_xor_sync(kAllLanes, fine_count, lanes);
  }
  uint32_t group_sum = 0;
  uint32_t group_count = 0;
  (void)exclusive_sum_of_block(sum, group_sum);
  (void)exclusive_sum_of_block(uint32_t{gaps.count}, group_count);
  const unsigned coarse = parameter_for(group_sum, group_count);
  unsigned fine = 0;
  if (fine_count != 0) fine = parameter_for(fine_sum, fine_count);
  uint32_t coarse_bits = 0;
  uint32_t fine_bits = 0;
  (void)exclusive_sum_of_block(bits_of_own(gaps, golomb_of(coarse)), coarse_bits);
  (void)exclusive_sum_of_block(bits_of_own(gaps, golomb_of(fine)), fine_bits);

  if (threadIdx.x % kThreadsOfFine == 0 && gaps.count != 0) {
    constexpr unsigned kFineOfGroup = kGolombGroup / kGolombFine;
    plan.fine[blockIdx.x * kFineOfGroup + threadIdx.x / kThreadsOfFine] =
        static_cast<uint8_t>(fine);
  }
  if (threadIdx.x != 0) return;
  plan.coarse[blockIdx.x] = static_cast<uint8_t>(coarse);
  plan.coarse_bytes[blockIdx.x] = (coarse_bits + 7) / 8;
  plan.fine_bytes[blockIdx.x] = (fine_bits + 7) / 8;
}

__global__ void write_kernel(GolombWriter writer) {
  LONGHAUL_SHARED(uint32_t, words, kWordsOfGroup);
  const Gaps gaps = own_gaps(writer.places, writer.count);
  Golomb golomb;
  if (gaps.count != 0) {
    golomb = golomb_of(writer.parameters[first_gap() / writer.subgroup]);
  }
  uint32_t bits = 0;
  const uint32_t at = exclusive_sum_of_block(bits_of_own(gaps, golomb), bits);
  clear_bits(words, bits);
  DeviceBitWriter to(words, at);
#pragma unroll
  for (unsigned j = 0; j < kGapsOfThread; ++j) {
    if (j >= gaps.count) continue;
    const Code code = code_of(gaps.gap[j], golomb);
    to.skip(code.quotient);
    const unsigned low = code.width < 32 ? code.width : 32;
    to.put(static_cast<uint32_t>(code.rest), low);
    to.put(static_cast<uint32_t>(code.rest >> 32), code.width - low);
  }
  to.flush();
  write_bits(words, bits, writer.words, writer.offsets[blockIdx.x]);
}

// A gap of a foreign group, at most kMostElements; false if the group ends before it does.
__device__ inline bool read_gap(DeviceBitReader& reader, Golomb golomb, uint64_t& gap) {
  const uint32_t bits = reader.peek();
  if (bits != 0 && reader.left() >= 32) {  // nearly always, all of the code lies in these 32 bits
    const unsigned run = static_cast<unsigned>(__ffs(bits)) - 1;
    uint64_t rest = uint64_t{bits} >> (run + 1);
    unsigned width = run + 1 + golomb.shift;
    uint32_t thirds = 0;
    if (golomb.three) {
      const uint32_t any = static_cast<uint32_t>(rest) & 1U;
      thirds = any == 0 ? 0 : 1 + (static_cast<uint32_t>(rest >> 1) & 1U);
      rest >>= 1 + any;
      width += 1 + any;
    }
    if (width <= 32) {
      gap = run * divisor_of(golomb) + (uint64_t{thirds} << golomb.shift) +
            (rest & ((uint64_t{1} << golomb.shift) - 1));
      if (gap > kMostElements) gap = kMostElements;
      reader.skip(width);
      return true;
    }
  }
  uint32_t quotient = 0;
  if (!reader.take_unary(quotient)) return false;
  gap = quotient * divisor_of(golomb);  // below 2^19 * 2^32
  if (golomb.three) {
    uint32_t bit = 0;
    if (!reader.take(1, bit)) return false;
    if (bit != 0) {
      if (!reader.take(1, bit)) return false;
      gap += uint64_t{1 + bit} << golomb.shift;
    }
  }
  uint32_t low = 0;
  if (!reader.take(golomb.shift, low)) return false;
  gap += low;
  if (gap > kMostElements) gap = kMostElements;
  return true;
}

__global__ void read_kernel(GolombReader reader, unsigned lanes) {
  const uint32_t group = blockIdx.x * lanes + threadIdx.x;
  const uint32_t first = group * kGroup;
  if (threadIdx.x >= lanes || first >= reader.count) return;
  const uint32_t end = reader.count - first < kGroup ? reader.count : first + kGroup;
  DeviceBitReader bits(reader.words, reader.offsets[group], reader.offsets[group + 1]);
  bool sound = true;
  Golomb golomb;
  for (uint32_t i = first; i < end; i += 4) {
    if (i % reader.subgroup == 0) {  // as the first of a group is
      const unsigned parameter = reader.parameters[i / reader.subgroup];
      sound = sound && parameter <= kLargestParameter;
      golomb = golomb_of(parameter);
    }
    FourWords steps;
#pragma unroll
    for (unsigned j = 0; j < 4; ++j) {
      if (i + j >= end) continue;
      uint64_t gap = kMostElements;
      sound = sound && read_gap(bits, golomb, gap);
      steps.word[j] = static_cast<uint32_t>(gap < kMostElements ? gap + 1 : kMostElements);
    }
    store_four(reader.steps, i, steps);
  }
  if (!sound || bits.left() >= 8) atomicMin(&reader.refused[0], group);
}

__global__ void position_kernel(GolombReader reader, In<uint64_t> sums) {
  const uint32_t i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= reader.count) return;
  const uint64_t place = sums[i + 1] - 1;
  const uint64_t elements = uint64_t{reader.rows} * reader.columns;
  if (place >= elements) {
    atomicMin(&reader.refused[0], i);
    reader.mask[i] = 0;
    return;
  }
  // Where there are several tiles, the values of one are fewer than 2^31.
  constexpr uint32_t kTileRows = 1024;
  const auto at = static_cast<uint32_t>(place);
  const uint32_t tile_values = kTileRows * reader.columns;
  const uint32_t tile = reader.rows <= kTileRows ? 0 : at / tile_values;
  const uint32_t rows = reader.rows - tile * kTileRows;
  const uint32_t height = rows < kTileRows ? rows : kTileRows;
  const uint32_t inside = at - tile * tile_values;
  const uint32_t column = inside / height;
  reader.mask[i] = tile * tile_values + (inside - column * height) * reader.columns + column;
}

}  // namespace

void plan_golomb(const GolombPlan& plan) {
  if (plan.count == 0) return;
  launch(plan_kernel, dim3{pieces_of(plan.count, kGolombGroup)}, dim3{kThreads}, plan);
}

void write_golomb(const GolombWriter& writer) {
  if (writer.count == 0) return;
  launch(write_kernel, dim3{pieces_of(writer.count, kGolombGroup)}, dim3{kThreads}, writer);
}

void read_golomb(const GolombReader& reader) {
  if (reader.count == 0) return;
  const unsigned groups = pieces_of(reader.count, kGolombGroup);
  const unsigned lanes = readers_of_warp(groups);
  launch(read_kernel, dim3{pieces_of(groups, lanes)}, dim3{kWarpLanes}, reader, lanes);
}

void places_to_positions(const GolombReader& reader, In<uint64_t> sums) {
  if (reader.count == 0) return;
  launch(position_kernel, dim3{pieces_of(reader.count, kThreads)}, dim3{kThreads}, reader, sums);
}

}  // namespace longhaul::compression::cuda
