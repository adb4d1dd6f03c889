// Grids, blocks, warps: one fiber per CUDA thread, run in an order that the test chooses.
#pragma once

#include "compression/cuda/emulation/memory.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>

namespace longhaul::compression::cuda::emulation {

struct dim3 {  // NOLINT: CUDA's name
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;
};

// In which order blocks, warps and lanes take their turns. A correct kernel does not care.
enum class Order : std::uint8_t { kForward, kReverse, kRandom };
void set_order(Order order, std::uint64_t seed = 1);

// Runs `body` once for each thread; x of `block` times y and z is at most 1024. Throws Fault.
// Not reentrant, and not for several threads of the host.
void run_grid(dim3 grid, dim3 block, const std::function<void()>& body);

// Of the fiber that runs; outside of a grid the moment is the host's.
struct Coordinates {
  dim3 thread;
  dim3 block;
  dim3 block_extent;
  dim3 grid_extent;
};
[[nodiscard]] const Coordinates& coordinates();
[[nodiscard]] const Moment& current_moment();

// Waits for all threads of the block, which must all come to the same line.
void block_barrier(std::source_location where);

// Waits for the lanes of `mask`, which must all exist and come to the same line with the same
// mask; returns what each lane of the warp gave (of meaning for those in the mask).
using WarpValues = std::array<std::uint64_t, 32>;
[[nodiscard]] const WarpValues& warp_exchange(std::uint32_t mask, std::uint64_t value,
                                              std::source_location where);

// The block's shared array that `tag` stands for; made by the first thread that asks. The bytes
// are aligned for every type.
struct SharedMemory {
  void* bytes;
  Region* region;
};
[[nodiscard]] SharedMemory shared_memory(const void* tag, const char* name, std::size_t count,
                                         std::size_t element_bytes);

template <class T>
Pointer<T> shared_array(const void* tag, const char* name, std::size_t count) {
  const SharedMemory memory = shared_memory(tag, name, count, sizeof(T));
  return {static_cast<T*>(memory.bytes), memory.region};
}

}  // namespace longhaul::compression::cuda::emulation
