// Packed codes: a chunk of 4096 is a block's, to write; a thread's, to read.
//
// What it computes: format.md, "Packed codes": how often each code occurs, each chunk's bytes, the
// chunks' bits; and foreign bits back to codes. The words themselves are found on the host, from at
// most 256 counters. CPU reference: count_codes(), pack_huffman() and unpack_huffman() of
// huffman.cpp.
//
// Written as Golomb codes are (golomb.cu): lengths, their prefix sums, bits set in shared memory.
//
// Floor: a byte read for each code (twice: to measure, to write), about half of one written.
#include "compression/cuda/launchers.hpp"
#include "compression/cuda/warp.cuh"
#include "compression/huffman.hpp"

namespace longhaul::compression::cuda {
namespace {

constexpr unsigned kCodesOfThread = kHuffmanChunk / kThreads;
constexpr unsigned kWordsOfChunk = kHuffmanChunk * kLongestWord / 32;
constexpr unsigned kBytes = 256;
constexpr std::size_t kStripe = 16384;  // codes that a block counts
static_assert(kBytes == kThreads);

__global__ void count_kernel(In<uint8_t> codes, std::size_t count, Out<uint32_t> frequencies) {
  LONGHAUL_SHARED(uint32_t, own, kBytes);
  own[threadIdx.x] = 0;
  __syncthreads();
  const std::size_t begin = blockIdx.x * kStripe;
  const std::size_t end = begin + kStripe < count ? begin + kStripe : count;
  for (std::size_t i = begin + threadIdx.x; i < end; i += kThreads) {
    atomicAdd(&own[codes[i]], 1U);
  }
  __syncthreads();
  const uint32_t counted = own[threadIdx.x];
  if (counted != 0) atomicAdd(&frequencies[threadIdx.x], counted);
}

// Words of this thread's codes; zeros, which are no bits, where there are none.
struct Words {
  uint32_t word[kCodesOfThread];
  uint32_t bits = 0;
};

__device__ inline Words own_words(const HuffmanWriter& writer) {
  const std::size_t begin = blockIdx.x * kHuffmanChunk + threadIdx.x * kCodesOfThread;
  Words own;
#pragma unroll
  for (unsigned j = 0; j < kCodesOfThread; ++j) {
    own.word[j] = 0;
    if (begin + j < writer.count) own.word[j] = writer.words[writer.codes[begin + j]];
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
  uint32_t at = exclusive_sum_of_block(own.bits, bits);
  clear_bits(words, bits);
#pragma unroll
  for (unsigned j = 0; j < kCodesOfThread; ++j) {
    const unsigned width = own.word[j] >> 16;
    put_bits(words, at, own.word[j] & 0xffffU, width);
    at += width;
  }
  write_bits(words, bits, writer.bytes, writer.offsets[blockIdx.x]);
}

__global__ void read_kernel(HuffmanReader reader) {
  const uint32_t chunk = blockIdx.x * kThreads + threadIdx.x;
  const std::size_t first = chunk * kHuffmanChunk;
  if (first >= reader.count) return;
  const std::size_t end =
      first + kHuffmanChunk < reader.count ? first + kHuffmanChunk : reader.count;
  DeviceBitReader bits(reader.bytes, reader.offsets[chunk], reader.offsets[chunk + 1]);
  bool sound = true;
  for (std::size_t i = first; i < end; ++i) {
    const uint32_t entry = reader.table[bits.peek(kLongestWord)];
    const uint32_t length = entry & 0xffU;
    sound = sound && length != 0 && length <= bits.left();
    reader.codes[i] = static_cast<uint8_t>(entry >> 8);
    if (sound) bits.skip(length);
  }
  if (!sound || bits.left() >= 8) atomicMin(&reader.refused[0], chunk);
}

}  // namespace

void count_codes(In<uint8_t> codes, std::size_t count, Out<uint32_t> frequencies) {
  if (count == 0) return;
  launch(count_kernel, dim3{pieces_of(count, kStripe)}, dim3{kThreads}, codes, count, frequencies);
}

void measure_chunks(const HuffmanWriter& writer) {
  if (writer.count == 0) return;
  launch(measure_kernel, dim3{pieces_of(writer.count, kHuffmanChunk)}, dim3{kThreads}, writer);
}

void write_chunks(const HuffmanWriter& writer) {
  if (writer.count == 0) return;
  launch(write_kernel, dim3{pieces_of(writer.count, kHuffmanChunk)}, dim3{kThreads}, writer);
}

void read_chunks(const HuffmanReader& reader) {
  if (reader.count == 0) return;
  const unsigned chunks = pieces_of(reader.count, kHuffmanChunk);
  launch(read_kernel, dim3{pieces_of(chunks, kThreads)}, dim3{kThreads}, reader);
}

}  // namespace longhaul::compression::cuda
