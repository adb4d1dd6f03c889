// LibTorch as the worker uses it: the one include, and every difference between 1.13 and 2.x.
#pragma once

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#pragma GCC diagnostic pop

#include <cstdint>
#include <string>
#include <vector>

namespace longhaul::compnode {

// What a plan calls "cpu" or "cuda:N". Throws proto::Failed (kResource) if this host or this
// LibTorch has no such device.
[[nodiscard]] at::Device parse_device(const std::string& name);

struct CudaDevice {
  std::string name;         // "cuda:0"
  std::string description;  // the vendor's name of the model
  std::uint64_t memory_bytes = 0;
};
[[nodiscard]] std::vector<CudaDevice> cuda_devices();  // empty without CUDA

// Blocks until the device has finished everything that it was given. Nothing to do on a CPU.
void synchronize(const at::Device& device);

// What the calling thread computes on this device from here on runs beside what other threads
// compute there, and before it where both wait: in a stream of its own. Nothing to do on a CPU.
void compute_beside_others(const at::Device& device);

// The version of LibTorch that this program runs with, for example "1.13.1".
[[nodiscard]] std::string torch_version();

// Threads that an operator of the calling thread may use, in ATen, OpenMP and OpenBLAS alike.
void set_compute_threads(int threads);

// Tensor memory of this process, in bytes: what LibTorch holds, on all devices.
[[nodiscard]] std::uint64_t tensor_memory_now();
[[nodiscard]] std::uint64_t tensor_memory_peak();
void reset_tensor_memory_peak();

// Counts CPU tensor memory from here on; call once, before the first tensor.
void install_memory_accounting();

// Adds to, or takes from, the count: for tensors whose bytes LibTorch did not allocate.
void account_foreign_memory(std::int64_t bytes);

}  // namespace longhaul::compnode
