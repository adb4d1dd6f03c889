// Packed codes: a chunk of 4096 symbols is a block's, to write; a thread's, to read.
//
// What it computes: format.md, "Packed codes": how often each symbol occurs, each chunk's bytes,
// the chunks' bits; and foreign bits back to symbols. The words themselves are found on the host,
// from at most 256 counters. CPU reference: count_symbols(), pack_huffman() and unpack_huffman() of
// huffman.cpp. Codes become symbols, and symbols codes, in block_quantiser.cu.
//
// Written as Golomb codes are (golomb.cu): lengths, their prefix sums, bits set in shared memory.
// A thread has 16 symbols, one access of 16 bytes. To read, blocks are single warps, so that the
// chunks of a tensor are spread over the device.
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

// One symbol off the bits; `sound` becomes false, for good, where they are no word.
__device__ inline uint32_t read_symbol(DeviceBitReader& bits, Shared<uint32_t> table, bool& sound) {
  const uint32_t next = bits.peek() & (2 * kTableWords - 1);
  const uint32_t entry = table[next / 2] >> (next % 2 * 16);
  const uint32_t length = entry & 0xffU;
  sound = sound && length != 0 && length <= bits.left();
  if (!sound) return 0;
  bits.skip(length);
  return entry >> 8 & 0xffU;
}

__global__ void read_kernel(HuffmanReader reader, unsigned lanes) {
  LONGHAUL_SHARED(uint32_t, table, kTableWords);
  for (unsigned i = 4 * threadIdx.x; i < kTableWords; i += 4 * kWarpLanes) {
    const FourWords four = load_four(reader.table, i);
    for (unsigned j = 0; j < 4; ++j) table[i + j] = four.word[j];
  }
  __syncthreads();
  const uint32_t chunk = blockIdx.x * lanes + threadIdx.x;
  const uint32_t first = chunk * kChunk;
  if (threadIdx.x >= lanes || first >= reader.count) return;
  const uint32_t end = reader.count - first < kChunk ? reader.count : first + kChunk;
  DeviceBitReader bits(reader.words, reader.offsets[chunk], reader.offsets[chunk + 1]);
  bool sound = true;
  for (uint32_t i = first; i < end; i += 16) {
    FourWords four;
#pragma unroll
    for (unsigned j = 0; j < 16; ++j) {
      if (i + j < end) four.word[j / 4] |= read_symbol(bits, table, sound) << (j % 4 * 8);
    }
    store_four(reader.symbols, i / 4, four);
  }
  if (!sound || bits.left() >= 8) atomicMin(&reader.refused[0], chunk);
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
  const unsigned chunks = pieces_of(reader.count, kChunk);
  const unsigned lanes = readers_of_warp(chunks);
  launch(read_kernel, dim3{pieces_of(chunks, lanes)}, dim3{kWarpLanes}, reader, lanes);
}

}  // namespace longhaul::compression::cuda
