// LibTorch 1.13 and 2.x, with and without CUDA, behind one face.
#include "compnode/execution/torch.hpp"

#include "proto/error.hpp"

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/version.h>
#ifdef LONGHAUL_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#endif

#include <dlfcn.h>
#include <malloc.h>

#include <atomic>
#include <charconv>

namespace longhaul::compnode {
namespace {

std::atomic<std::int64_t> memory_now{0};
std::atomic<std::int64_t> memory_peak{0};

void count(std::int64_t bytes) {
  const std::int64_t now = memory_now.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  std::int64_t peak = memory_peak.load(std::memory_order_relaxed);
  while (now > peak && !memory_peak.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
}

// LibTorch's own CPU allocator, with every byte counted.
class CountingAllocator final : public c10::Allocator {
 public:
#if TORCH_VERSION_MAJOR >= 2
  c10::DataPtr allocate(std::size_t bytes) override { return counted(bytes); }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
#else
  c10::DataPtr allocate(std::size_t bytes) const override { return counted(bytes); }
#endif

 public:
  [[nodiscard]] c10::DeleterFnPtr raw_deleter() const override { return &release; }

 private:
  static void release(void* data) {
    if (data == nullptr) return;
    count(-static_cast<std::int64_t>(malloc_usable_size(data)));
    c10::free_cpu(data);
  }

  static c10::DataPtr counted(std::size_t bytes) {
    void* data = c10::alloc_cpu(bytes);
    if (data != nullptr) count(static_cast<std::int64_t>(malloc_usable_size(data)));
    return {data, data, &release, at::Device(at::kCPU)};
  }
};

}  // namespace

at::Device parse_device(const std::string& name) {
  if (name == "cpu") return at::Device(at::kCPU);
  if (name.starts_with("cuda:")) {
    int index = -1;
    const char* end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data() + 5, end, index);
    if (parsed.ec == std::errc() && parsed.ptr == end && index >= 0 &&
        index < static_cast<int>(cuda_devices().size())) {
      return {at::kCUDA, static_cast<at::DeviceIndex>(index)};
    }
  }
  throw proto::Failed({proto::ErrorKind::kResource,
                       "this host has no device '" + name + "' that LibTorch " + torch_version() +
                           " can use; `longhaul probe` lists those it has"});
}

std::vector<CudaDevice> cuda_devices() {
  std::vector<CudaDevice> devices;
#ifdef LONGHAUL_CUDA
  const int found = c10::cuda::device_count();
  for (int i = 0; i < found; ++i) {
    const auto* properties = at::cuda::getDeviceProperties(static_cast<c10::DeviceIndex>(i));
    devices.push_back({"cuda:" + std::to_string(i), properties->name, properties->totalGlobalMem});
  }
#endif
  return devices;
}

void synchronize(const at::Device& device) {
#ifdef LONGHAUL_CUDA
  if (device.is_cuda()) at::cuda::getCurrentCUDAStream(device.index()).synchronize();
#else
  (void)device;
#endif
}

void compute_beside_others(const at::Device& device) {
#ifdef LONGHAUL_CUDA
  if (!device.is_cuda()) return;
  static thread_local const auto stream = at::cuda::getStreamFromPool(true, device.index());
  at::cuda::setCurrentCUDAStream(stream);
#else
  (void)device;
#endif
}

std::string torch_version() { return TORCH_VERSION; }

void set_compute_threads(int threads) {
  at::set_num_threads(threads);
  // ATen does not forward the number to OpenBLAS, which keeps threads of its own.
  using SetThreads = void (*)(int);
  void* symbol = dlsym(RTLD_DEFAULT, "openblas_set_num_threads");
  if (symbol != nullptr) reinterpret_cast<SetThreads>(symbol)(threads);
}

void install_memory_accounting() {
  static CountingAllocator allocator;
  constexpr std::uint8_t kAboveDefault = 1;
  c10::SetCPUAllocator(&allocator, kAboveDefault);
}

void account_foreign_memory(std::int64_t bytes) { count(bytes); }

std::uint64_t tensor_memory_now() {
  std::int64_t bytes = memory_now.load(std::memory_order_relaxed);
#ifdef LONGHAUL_CUDA
  for (const auto& device : cuda_devices()) {
    const auto stats =
        c10::cuda::CUDACachingAllocator::getDeviceStats(parse_device(device.name).index());
    bytes += stats.allocated_bytes[0].current;
  }
#endif
  return static_cast<std::uint64_t>(bytes);
}

std::uint64_t tensor_memory_peak() {
  std::int64_t bytes = memory_peak.load(std::memory_order_relaxed);
#ifdef LONGHAUL_CUDA
  for (const auto& device : cuda_devices()) {
    const auto stats =
        c10::cuda::CUDACachingAllocator::getDeviceStats(parse_device(device.name).index());
    bytes += stats.allocated_bytes[0].peak;
  }
#endif
  return static_cast<std::uint64_t>(bytes);
}

void reset_tensor_memory_peak() {
  memory_peak.store(memory_now.load(std::memory_order_relaxed), std::memory_order_relaxed);
#ifdef LONGHAUL_CUDA
  for (const auto& device : cuda_devices()) {
    c10::cuda::CUDACachingAllocator::resetPeakStats(parse_device(device.name).index());
  }
#endif
}

}  // namespace longhaul::compnode
