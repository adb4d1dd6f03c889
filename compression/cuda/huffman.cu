// Packed codes: a chunk of 4096 symbols is a block's, to write; a warp's, to read.
//
// What it computes: format.md, "Packed codes": how often each symbol occurs, each chunk's bytes,
// the chunks' bits; and foreign bits back to symbols. The words themselves are found on the host,
// from at most 256 counters. CPU reference: count_symbols(), pack_huffman() and unpack_huffman() of
// huffman.cpp. Codes become symbols, and symbols codes, in block_quantiser.cu.
//
// Written as Golomb codes are (golomb.cu): lengths, their prefix sums, bits set in shared memory.
// A thread has 16 symbols, one access of 16 bytes.
//
// Where a word begins is known only after the one before it. To read all the same in parallel, each
// lane takes a span of the chunk's bits and begins where it begins, most likely within a word; such
// readers soon fall into step with the true words. Then each lane compares its begin with where the
// lane before it ended, and reads again from there if they differ, until none does: lane 0 began at
// a word, so that all have. That takes two or three rounds for real codes, and as many as there are
// lanes at worst, whatever the bits.
//
// Floor: a byte read for each symbol (three times: to count, to measure, to write), about half of
// one written.
#include "compression/cuda/launchers.hpp"
#include "compression/cuda/warp.cuh"
#include "compression/huffman.hpp"

namespace longhaul::compression::cuda {
namespace {

constexpr uint32_t kChunk = static_cast<uint32_t>(kHuffmanChunk);
constexpr unsigned kSymbolsOfThread = kChunk / kThreads;
constexpr unsigned kWordsOfChunk = kChunk * kLongestWord / 32 + 1;  // one is for write_bits()
constexpr unsigned kWordsRead = kChunk * kLongestWord / 32 + 3;     // they begin within a word
constexpr unsigned kBytes = 256;
constexpr uint32_t kStripe = 16384;  // symbols that a block counts
constexpr unsigned kTableWords = (1U << kLongestWord) / 2;
static_assert(kBytes == kThreads && kSymbolsOfThread == 16);

__device__ inline uint32_t byte_of(uint32_t word, unsigned i) { return word >> (8 * i) & 0xffU; }

// A histogram for each warp: where one symbol is most of them, its warps do not wait for each
// other.
__global__ void count_kernel(In<uint32_t> symbols, uint32_t count, Out<uint32_t> frequencies) {
  LONGHAUL_SHARED(uint32_t, own, kBytes * kWarps);
  for (unsigned warp = 0; warp < kWarps; ++warp) own[warp * kBytes + threadIdx.x] = 0;
  __syncthreads();
  const uint32_t begin = blockIdx.x * kStripe;
  const uint32_t end = count - begin < kStripe ? count : begin + kStripe;
  for (uint32_t i = begin + 4 * threadIdx.x; i < end; i += 4 * kThreads) {
    const uint32_t word = symbols[i / 4];
    for (unsigned j = 0; j < 4 && i + j < end; ++j) {
      atomicAdd(&own[warp_of_thread() * kBytes + byte_of(word, j)], 1U);
    }
  }
  __syncthreads();
  uint32_t counted = 0;
  for (unsigned warp = 0; warp < kWarps; ++warp) counted += own[warp * kBytes + threadIdx.x];
  if (counted != 0) atomicAdd(&frequencies[threadIdx.x], counted);
}

// Words of this thread's symbols; zeros, which are no bits, where there are none.
struct Words {
  uint32_t word[kSymbolsOfThread];
  uint32_t bits = 0;
};

// The whole block.
__device__ inline Words own_words(const HuffmanWriter& writer) {
  LONGHAUL_SHARED(uint32_t, table, kBytes);
  table[threadIdx.x] = writer.table[threadIdx.x];
  __syncthreads();
  const uint32_t begin = blockIdx.x * kChunk + threadIdx.x * kSymbolsOfThread;
  const FourWords symbols = load_four_below(writer.symbols, begin / 4, (writer.count + 3) / 4);
  Words own;
#pragma unroll
  for (unsigned j = 0; j < kSymbolsOfThread; ++j) {
    own.word[j] = 0;
    if (begin + j < writer.count) own.word[j] = table[byte_of(symbols.word[j / 4], j % 4)];
    own.bits += own.word[j] >> 16;
  }
  return own;
}

__global__ void measure_kernel(HuffmanWriter writer) {
  const Words own = own_words(writer);
  uint32_t bits = 0;
  (void)exclusive_sum_of_block(own.bits, bits);
  if (threadIdx.x == 0) writer.chunk_bytes[blockIdx.x] = (bits + 7) / 8;
}

__global__ void write_kernel(HuffmanWriter writer) {
  LONGHAUL_SHARED(uint32_t, words, kWordsOfChunk);
  const Words own = own_words(writer);
  uint32_t bits = 0;
  const uint32_t at = exclusive_sum_of_block(own.bits, bits);
  clear_bits(words, bits);
  DeviceBitWriter to(words, at);
#pragma unroll
  for (unsigned j = 0; j < kSymbolsOfThread; ++j) {
    to.put(own.word[j] & 0xffffU, own.word[j] >> 16);
  }
  to.flush();
  write_bits(words, bits, writer.words, writer.offsets[blockIdx.x]);
}

// A chunk's bits that lie in shared memory, its table of words, and how many bits there are.
struct ChunkBits {
  Shared<uint32_t> words;
  Shared<uint32_t> table;
  unsigned base = 0;  // the first bit
  uint32_t size = 0;
};

struct Symbol {
  uint32_t value = 0;
  uint32_t length = 0;  // 0: these bits are no word
};

__device__ inline Symbol symbol_at(const ChunkBits& bits, uint32_t at) {
  const uint32_t place = bits.base + at;
  const uint64_t both = uint64_t{bits.words[place / 32]} | uint64_t{bits.words[place / 32 + 1]}
                                                               << 32;
  const uint32_t next = static_cast<uint32_t>(both >> (place % 32)) & (2 * kTableWords - 1);
  const uint32_t entry = bits.table[next / 2] >> (next % 2 * 16);
  const uint32_t length = entry & 0xffU;
  if (length > bits.size - at) return {};
  return {entry >> 8 & 0xffU, length};
}

// Words that begin in [begin, end) where the first begins at `begin`.
struct Span {
  uint32_t begin = 0;
  uint32_t end = 0;   // of the span
  uint32_t next = 0;  // where the word after them begins; all bits, if something is no word
  uint32_t count = 0;
};

__device__ inline void read_span(const ChunkBits& bits, Span& span) {
  span.count = 0;
  span.next = span.begin;
  while (span.next < span.end) {
    const uint32_t length = symbol_at(bits, span.next).length;
    if (length == 0) {
      span.next = bits.size;
      return;
    }
    span.next += length;
    ++span.count;
  }
}

// The whole warp: the bits of a chunk, and a word of zeros behind them.
__device__ inline void stage_bits(Shared<uint32_t> words, In<uint32_t> from, uint64_t begin,
                                  uint64_t end) {
  const uint64_t first = begin / 4;
  const auto count = static_cast<uint32_t>((end + 3) / 4 - first);
  for (uint32_t i = threadIdx.x; i < count; i += kWarpLanes) words[i] = from[first + i];
  if (threadIdx.x == 0) words[count] = 0;
}

// A lane's symbols, number `index` of the chunk the first, to bytes that were zero. Where the last
// of the chunk's `size` is among them, whether it ends in the last byte.
__device__ inline bool write_span(const ChunkBits& bits, const Span& span, uint32_t index,
                                  uint32_t size, Shared<uint32_t> to) {
  uint32_t at = span.begin;
  uint32_t waiting = 0;
  uint32_t i = index;
  for (; i < index + span.count && i < size; ++i) {
    const Symbol symbol = symbol_at(bits, at);
    at += symbol.length;
    waiting |= symbol.value << (i % 4 * 8);
    if (i % 4 != 3) continue;
    atomicOr(&to[i / 4], waiting);
    waiting = 0;
  }
  if (waiting != 0) atomicOr(&to[(i - 1) / 4], waiting);
  return i != size || i == index || bits.size - at < 8;
}

__global__ void read_kernel(HuffmanReader reader) {
  LONGHAUL_SHARED(uint32_t, table, kTableWords);
  LONGHAUL_SHARED(uint32_t, words, kWordsRead);
  LONGHAUL_SHARED(uint32_t, symbols, kChunk / 4);
  const uint32_t first = blockIdx.x * kChunk;
  const uint32_t size = reader.count - first < kChunk ? reader.count - first : kChunk;
  const uint64_t begin = reader.offsets[blockIdx.x];
  const uint64_t end = reader.offsets[blockIdx.x + 1];
  const bool fits = 8 * (end - begin) < uint64_t{size} * kLongestWord + 8;  // else some are left
  for (unsigned i = 4 * threadIdx.x; i < kTableWords; i += 4 * kWarpLanes) {
    const FourWords four = load_four(reader.table, i);
    for (unsigned j = 0; j < 4; ++j) table[i + j] = four.word[j];
  }
  for (unsigned i = threadIdx.x; i < kChunk / 4; i += kWarpLanes) symbols[i] = 0;
  if (fits) stage_bits(words, reader.words, begin, end);
  __syncthreads();

  bool sound = fits;
  if (fits) {
    const ChunkBits bits{.words = words,
                         .table = table,
                         .base = static_cast<unsigned>(begin % 4 * 8),
                         .size = static_cast<uint32_t>(8 * (end - begin))};
    const uint32_t step = (bits.size + kWarpLanes - 1) / kWarpLanes;
    Span span;
    span.begin = threadIdx.x * step < bits.size ? threadIdx.x * step : bits.size;
    span.end = span.begin + step < bits.size ? span.begin + step : bits.size;
    read_span(bits, span);
    while (true) {
      const uint32_t before = __shfl_up_sync(kAllLanes, span.next, 1);
      const bool differs = threadIdx.x != 0 && before != span.begin;
      if (__ballot_sync(kAllLanes, differs) == 0) break;
      if (!differs) continue;
      span.begin = before;
      read_span(bits, span);
    }
    const uint32_t up_to_here = inclusive_sum_of_warp(span.count);
    sound = write_span(bits, span, up_to_here - span.count, size, symbols);
    if (threadIdx.x == kWarpLanes - 1 && up_to_here < size) sound = false;
  }
  __syncthreads();
  if (!sound) atomicMin(&reader.refused[0], uint32_t{blockIdx.x});
  for (unsigned i = 4 * threadIdx.x; i < in_fours((size + 3) / 4); i += 4 * kWarpLanes) {
    FourWords four;
    for (unsigned j = 0; j < 4; ++j) four.word[j] = symbols[i + j];
    store_four(reader.symbols, first / 4 + i, four);
  }
}

}  // namespace

void count_symbols(In<uint32_t> symbols, uint32_t count, Out<uint32_t> frequencies) {
  if (count == 0) return;
  launch(count_kernel, dim3{pieces_of(count, kStripe)}, dim3{kThreads}, symbols, count,
         frequencies);
}

void measure_chunks(const HuffmanWriter& writer) {
  if (writer.count == 0) return;
  launch(measure_kernel, dim3{pieces_of(writer.count, kChunk)}, dim3{kThreads}, writer);
}

void write_chunks(const HuffmanWriter& writer) {
  if (writer.count == 0) return;
  launch(write_kernel, dim3{pieces_of(writer.count, kChunk)}, dim3{kThreads}, writer);
}

void read_chunks(const HuffmanReader& reader) {
  if (reader.count == 0) return;
  launch(read_kernel, dim3{pieces_of(reader.count, kChunk)}, dim3{kWarpLanes}, reader);
}

}  // namespace longhaul::compression::cuda
