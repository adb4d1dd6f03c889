// Memory that is kept between calls: it grows, never shrinks, and is never filled with zeros.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

namespace longhaul::compression {

// memcpy that may be given null pointers where there is nothing to copy.
inline void copy_bytes(void* to, const void* from, std::size_t bytes) {
  if (bytes != 0) std::memcpy(to, from, bytes);
}

// Contents are indeterminate after resize(). Move-only; a moved-from buffer is empty.
template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer taken(std::move(other));
    swap(taken);
    return *this;
  }

  // Room for `size` elements, their values lost if that needs new memory.
  std::span<T> resize(std::size_t size) {
    if (size > capacity_) {
      items_.reset();
      capacity_ = 0;
      items_ = std::make_unique_for_overwrite<T[]>(size);
      capacity_ = size;
    }
    size_ = size;
    return span();
  }

  // Keeps the first `size` elements; `size` is at most what the last resize() asked for.
  void shorten(std::size_t size) { size_ = size < size_ ? size : size_; }

  [[nodiscard]] std::span<T> span() noexcept { return {items_.get(), size_}; }
  [[nodiscard]] std::span<const T> span() const noexcept { return {items_.get(), size_}; }
  [[nodiscard]] T* data() noexcept { return items_.get(); }
  [[nodiscard]] const T* data() const noexcept { return items_.get(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

 private:
  void swap(Buffer& other) noexcept {
    items_.swap(other.items_);
    std::swap(capacity_, other.capacity_);
    std::swap(size_, other.size_);
  }

  std::unique_ptr<T[]> items_;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
};

}  // namespace longhaul::compression
