// Memory on the device, or on the emulated one, that grows and is kept between calls.
#pragma once

#include "compression/cuda/device_language.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace longhaul::compression::cuda {

// What the calling thread does from here on is done on this device. Memory that is given back there
// stays the process's: to ask the driver for it anew would stop all streams.
inline void use_device([[maybe_unused]] int device) {
#if defined(LONGHAUL_CUDA_KERNELS)
  check(cudaSetDevice(device), "choosing a device");
  static thread_local int prepared = -1;
  if (prepared == device) return;
  cudaMemPool_t pool = nullptr;
  std::uint64_t all = ~std::uint64_t{0};
  check(cudaDeviceGetDefaultMemPool(&pool, device), "finding the device's memory pool");
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &all),
        "keeping the device's memory");
  prepared = device;
#endif
}

#if defined(LONGHAUL_CUDA_KERNELS)
inline void copy_in_stream(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  check(cudaMemcpyAsync(to, from, bytes, kind, current_stream), "copying from or to the device");
  check(cudaStreamSynchronize(current_stream), "waiting for the device");
}
#endif

// Copies between host and device wait for the kernels launched before in this stream; they throw
// where the device fails. Spans may be empty, pointers of such are not looked at.
template <class T>
void download(In<T> from, std::span<T> to) {
  if (to.empty()) return;
#if defined(LONGHAUL_CUDA_KERNELS)
  copy_in_stream(to.data(), from, to.size_bytes(), cudaMemcpyDeviceToHost);
#else
  from.copy_out(to.data(), to.size());
#endif
}

template <class T>
void upload(std::span<const T> from, Out<T> to) {
  if (from.empty()) return;
#if defined(LONGHAUL_CUDA_KERNELS)
  copy_in_stream(to, from.data(), from.size_bytes(), cudaMemcpyHostToDevice);
#else
  to.copy_in(from.data(), from.size());
#endif
}

// Bytes that begin where `from` does, of words; `to` need not be aligned.
inline void download_bytes(In<std::uint32_t> from, std::span<std::byte> to) {
  if (to.empty()) return;
#if defined(LONGHAUL_CUDA_KERNELS)
  copy_in_stream(to.data(), from, to.size(), cudaMemcpyDeviceToHost);
#else
  std::vector<std::uint32_t> words((to.size() + 3) / 4);
  from.copy_out(words.data(), words.size());
  std::memcpy(to.data(), words.data(), to.size());
#endif
}

// Foreign bytes, which need not be aligned, to whole elements; bytes of the last that are missing
// stay as they are.
template <class T>
void upload_bytes(std::span<const std::byte> from, Out<T> to) {
  if (from.empty()) return;
#if defined(LONGHAUL_CUDA_KERNELS)
  copy_in_stream(to, from.data(), from.size(), cudaMemcpyHostToDevice);
#else
  std::vector<T> aligned((from.size() + sizeof(T) - 1) / sizeof(T));
  std::memcpy(aligned.data(), from.data(), from.size());
  to.copy_in(aligned.data(), aligned.size());
#endif
}

// `size` elements whose contents are indeterminate after resize(). Move-only. Given back in the
// stream of the thread that does so: work in others with it is done by then.
template <class T>
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  explicit DeviceBuffer(std::span<const T> values) { assign(values); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  DeviceBuffer(DeviceBuffer&& other) noexcept { swap(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~DeviceBuffer() { release(); }

  [[nodiscard]] std::size_t size() const { return size_; }

  auto assign(std::span<const T> values) {
    resize(values.size());
    upload<T>(values, out());
    return out();
  }
  // upload_bytes() to as many elements as they need. Constant.
  auto assign_bytes(std::span<const std::byte> bytes) {
    resize((bytes.size() + sizeof(T) - 1) / sizeof(T));
    upload_bytes<T>(bytes, out());
    make_constant();
    return out();
  }
  // Elements from `begin` on.
  void download_to(std::span<T> to, std::size_t begin = 0) const { download<T>(in() + begin, to); }
  [[nodiscard]] T at(std::size_t index) const {
    T value{};
    download_to({&value, 1}, index);
    return value;
  }

  // From here on only read; the emulation holds to it, and remembers less.
  void make_constant() {
#if !defined(LONGHAUL_CUDA_KERNELS)
    region_->make_constant();
#endif
  }

#if defined(LONGHAUL_CUDA_KERNELS)
  T* resize(std::size_t size) {
    if (size > capacity_) {
      release();
      void* memory = nullptr;
      check(cudaMallocAsync(&memory, size * sizeof(T), current_stream), "allocating on the device");
      begin_ = static_cast<T*>(memory);
      capacity_ = size;
    }
    size_ = size;
    return begin_;
  }
  [[nodiscard]] T* out() { return begin_; }
  [[nodiscard]] const T* in() const { return begin_; }

 private:
  void release() {
    if (begin_ != nullptr) cudaFreeAsync(begin_, current_stream);
    begin_ = nullptr;
    capacity_ = 0;
  }
  void swap(DeviceBuffer& other) noexcept {
    std::swap(begin_, other.begin_);
    std::swap(capacity_, other.capacity_);
    std::swap(size_, other.size_);
  }

  T* begin_ = nullptr;
  std::size_t capacity_ = 0;
#else
  // Always new memory, so that what an earlier use wrote there is not taken for written.
  Out<T> resize(std::size_t size) {
    memory_ = std::make_unique_for_overwrite<T[]>(size);
    region_ = std::make_unique<Region>("a device buffer", size);
    size_ = size;
    return out();
  }
  [[nodiscard]] Out<T> out() { return {memory_.get(), region_.get()}; }
  [[nodiscard]] In<T> in() const { return {memory_.get(), region_.get()}; }

 private:
  void release() {}
  void swap(DeviceBuffer& other) noexcept {
    memory_.swap(other.memory_);
    region_.swap(other.region_);
    std::swap(size_, other.size_);
  }

  std::unique_ptr<T[]> memory_;
  std::unique_ptr<Region> region_;
#endif
  std::size_t size_ = 0;
};

}  // namespace longhaul::compression::cuda
