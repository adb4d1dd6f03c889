// Canaries: faults of kernels that the emulation must catch, each beside the kernel that is right.
#include "compression/cuda/device_buffer.hpp"
#include "tests/unit/cuda/orders.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace longhaul::compression::cuda {
namespace {

constexpr unsigned kCount = 64;

// Turns values round through shared memory.
template <bool kBarrier, unsigned kWritten, unsigned kReadFrom>
__global__ void turn_round(In<std::uint32_t> values, Out<std::uint32_t> out) {
  LONGHAUL_SHARED(std::uint32_t, turned, kCount);
  const unsigned i = threadIdx.x;
  if (i < kWritten) turned[i] = values[i];
  if (kBarrier) __syncthreads();
  out[i] = turned[kReadFrom - 1 - i];
}

__global__ void barrier_for_some() {
  if (threadIdx.x < kCount / 2) __syncthreads();
}

__global__ void two_barriers() {
  if (threadIdx.x < kCount / 2) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void write_again_without_barrier(Out<std::uint32_t> out) {
  LONGHAUL_SHARED(std::uint32_t, cell, 1);
  for (std::uint32_t round = 0; round < 2; ++round) {
    if (threadIdx.x == 0) cell[0] = round;
    __syncthreads();
    out[threadIdx.x] = cell[0];
  }
}

template <bool kHalf>
__global__ void shuffle_all_lanes(Out<std::uint32_t> out) {
  if (kHalf && threadIdx.x % kWarpLanes >= kWarpLanes / 2) return;
  out[threadIdx.x] = __shfl_xor_sync(kAllLanes, threadIdx.x, 1U);
}

__global__ void shuffle_from_outside(Out<std::uint32_t> out) {
  if (threadIdx.x % kWarpLanes < 16) {
    out[threadIdx.x] = __shfl_sync(0xffffU, threadIdx.x, 20U);
  }
}

__global__ void shuffle_half_of_its_own(Out<std::uint32_t> out) {
  if (threadIdx.x % kWarpLanes < 16) {
    out[threadIdx.x] = __shfl_xor_sync(0xffffU, threadIdx.x, 1U);
  } else {
    out[threadIdx.x] = 0;
  }
}

__global__ void warp_neighbours(Out<std::uint32_t> out) {
  LONGHAUL_SHARED(std::uint32_t, cells, kCount);
  cells[threadIdx.x] = threadIdx.x;
  __syncwarp();
  out[threadIdx.x] = cells[threadIdx.x ^ 1U];
}

template <bool kAtomic>
__global__ void count_threads(Out<std::uint32_t> total) {
  if (kAtomic) {
    atomicAdd(&total[0], 1U);
  } else {
    total[0] += 1;
  }
}

__global__ void copy_past_the_end(In<std::uint32_t> values, Out<std::uint32_t> out) {
  out[threadIdx.x] = values[threadIdx.x + 1];
}

__global__ void write_past_the_end(Out<std::uint32_t> out) { out[threadIdx.x + 1] = 1; }

__global__ void load_four_from_the_second(In<std::uint32_t> values, Out<std::uint32_t> out) {
  out[threadIdx.x] = load_four(values, 1).word[0];
}

std::vector<std::uint32_t> numbers() {
  std::vector<std::uint32_t> numbers(kCount);
  for (std::uint32_t i = 0; i < kCount; ++i) numbers[i] = 3 * i;
  return numbers;
}

// What the emulation says of a kernel, in each order; empty if nothing in all.
template <class Run>
std::string fault_in_all_orders(Run run) {
  std::string first;
  unsigned caught = 0;
  in_each_order([&] {
    try {
      run();
    } catch (const Fault& fault) {
      if (caught++ == 0) first = fault.what();
    }
  });
  CHECK((caught == 0 || caught == 3));
  return first;
}

template <class Kernel>
std::string fault_of_turning(Kernel kernel) {
  return fault_in_all_orders([&] {
    const DeviceBuffer<std::uint32_t> values(numbers());
    DeviceBuffer<std::uint32_t> out;
    out.resize(kCount);
    launch(kernel, dim3{1}, dim3{kCount}, values.in(), out.out());
    std::vector<std::uint32_t> found(kCount);
    out.download_to(found);
    for (std::uint32_t i = 0; i < kCount; ++i) CHECK(found[i] == 3 * (kCount - 1 - i));
  });
}

template <class Kernel>
std::string fault_of(Kernel kernel, unsigned blocks = 1) {
  return fault_in_all_orders([&] {
    const std::vector<std::uint32_t> zeros(kCount);
    DeviceBuffer<std::uint32_t> out(zeros);
    launch(kernel, dim3{blocks}, dim3{kCount}, out.out());
  });
}

bool says(const std::string& message, const char* what) {
  INFO(message);
  const bool found = message.find(what) != std::string::npos;
  CHECK(found);
  return found;
}

TEST_CASE("emulation: kernels that are right pass") {
  CHECK(fault_of_turning(turn_round<true, kCount, kCount>) == "");
  CHECK(fault_of(shuffle_all_lanes<false>) == "");
  CHECK(fault_of(shuffle_half_of_its_own) == "");
  CHECK(fault_of(warp_neighbours) == "");
  CHECK(fault_of(count_threads<true>, 3) == "");
}

TEST_CASE("emulation: a missing barrier is caught, whatever the order of lanes") {
  CHECK(says(fault_of_turning(turn_round<false, kCount, kCount>), "turned"));
  // Which thread is told of depends on the order; that one is, does not.
  CHECK(says(fault_of(write_again_without_barrier), "without a barrier after another thread's"));
}

TEST_CASE("emulation: a divergent barrier is caught") {
  const auto fault = [](void (*kernel)()) {
    return fault_in_all_orders([&] { launch(kernel, dim3{1}, dim3{kCount}); });
  };
  CHECK(says(fault(barrier_for_some), "has left the kernel without"));
  CHECK(says(fault(two_barriers), "is at another"));
}

TEST_CASE("emulation: a read of unwritten shared memory is caught") {
  CHECK(says(fault_of_turning(turn_round<true, kCount - 1, kCount>), "never written"));
}

TEST_CASE("emulation: an overrun of shared memory is caught") {
  CHECK(says(fault_of_turning(turn_round<true, kCount, kCount + 1>), "is outside"));
}

TEST_CASE("emulation: an overrun of global memory is caught, to read and to write") {
  CHECK(says(fault_of_turning(copy_past_the_end), "is outside"));
  CHECK(says(fault_of(write_past_the_end), "is outside"));
}

TEST_CASE("emulation: four words that are not aligned are caught") {
  CHECK(says(fault_of_turning(load_four_from_the_second), "no multiple of 4"));
}

TEST_CASE("emulation: a shuffle on half a warp is caught") {
  CHECK(says(fault_of(shuffle_all_lanes<true>), "to which only 0x0000ffff came"));
  CHECK(says(fault_of(shuffle_from_outside), "not in its mask"));
}

TEST_CASE("emulation: threads and blocks that write one element without atomics are caught") {
  CHECK(says(fault_of(count_threads<false>), "without a barrier"));
  CHECK(says(fault_of(count_threads<false>, 2), "without a barrier"));
}

TEST_CASE("emulation: what no kernel wrote is not copied to the host") {
  DeviceBuffer<std::uint32_t> out;
  out.resize(3);
  CHECK_THROWS_AS((void)out.at(1), Fault);
}

TEST_CASE("emulation: a write to what is constant is caught") {
  CHECK(says(fault_in_all_orders([] {
               DeviceBuffer<std::uint32_t> out(numbers());
               out.make_constant();
               launch(count_threads<true>, dim3{1}, dim3{kCount}, out.out());
             }),
             "is constant"));
}

TEST_CASE("emulation: after a fault the next grid runs") {
  CHECK(fault_of(write_past_the_end) != "");
  CHECK(fault_of(warp_neighbours) == "");
}

}  // namespace
}  // namespace longhaul::compression::cuda
