// Memory of the emulated device: each access is checked for bounds, unwritten values and races.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace longhaul::compression::cuda::emulation {

// What a kernel did that is undefined on a device. The message names the memory or the line.
class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// When and by whom an element was accessed; numbers grow. Small, since every element has two.
struct Moment {
  std::uint32_t launch = 0;  // 0: never, kHost: by the host
  std::uint32_t block = 0;
  std::uint32_t warp_step = 0;  // collectives of the whole warp
  std::uint16_t barrier = 0;    // of the block
  std::uint16_t thread : 11 = 0;
  std::uint16_t atomic : 1 = 0;
  std::uint16_t one_of_many : 1 = 0;  // of readers since the last write
};
inline constexpr std::uint32_t kHost = 1;

struct Shadow {
  Moment write;
  Moment reader;
};

// The shadow of one allocation, or of one shared array.
class Region {
 public:
  Region(std::string name, std::size_t count);
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  // Throw Fault: outside; never written; without a barrier since another thread's access.
  void check_read(std::size_t index, bool atomic = false);
  void check_write(std::size_t index, bool atomic = false);

  // By the host: [begin, begin + count) becomes written, or must be.
  void written_by_host(std::size_t begin, std::size_t count);
  void read_by_host(std::size_t begin, std::size_t count) const;

  // From here on nobody writes, and reads are only checked for bounds. All must be written.
  void make_constant();

 private:
  // Until a kernel comes, the host has written all or nothing: there is nothing to remember.
  enum class State : std::uint8_t { kUnwritten, kWritten, kConstant, kShadowed };

  [[noreturn]] void fail(std::size_t index, const char* what) const;
  Shadow& at(std::size_t index);
  void remember();

  std::string name_;
  std::size_t count_;
  State state_ = State::kUnwritten;
  Shadow* shadow_ = nullptr;  // of calloc(): what nobody touches takes no memory
};

// What `values[i]` is: reading and writing are told apart.
template <class T>
class Reference {
 public:
  using Value = std::remove_const_t<T>;

  Reference(T* value, Region* region, std::size_t index)
      : value_(value), region_(region), index_(index) {}
  Reference(const Reference&) = default;

  operator Value() const {  // NOLINT: as an element of an array is used
    region_->check_read(index_);
    return value_[index_];
  }
  const Reference& operator=(Value value) const
    requires(!std::is_const_v<T>)
  {
    region_->check_write(index_);
    value_[index_] = value;
    return *this;
  }
  const Reference& operator=(const Reference& other) const
    requires(!std::is_const_v<T>)
  {
    return *this = static_cast<Value>(other);
  }
  const Reference& operator+=(Value value) const { return *this = Value(*this) + value; }

  // For the atomic functions: old value in, new value out, nobody between.
  template <class Change>
  Value exchange(Change change) const {
    region_->check_read(index_, true);
    region_->check_write(index_, true);
    const Value old = value_[index_];
    value_[index_] = change(old);
    return old;
  }
  const Reference* operator&() const { return this; }  // NOLINT: atomicAdd(&values[i], 1)

 private:
  T* value_;
  Region* region_;
  std::size_t index_;
};

template <class T>
class Pointer {
 public:
  Pointer() = default;
  Pointer(std::nullptr_t) {}  // NOLINT: as with a plain pointer
  Pointer(T* begin, Region* region) : begin_(begin), region_(region) {}
  template <class U>
    requires(std::is_const_v<T> && std::is_same_v<const U, T>)
  Pointer(const Pointer<U>& other)  // NOLINT: as with a plain pointer
      : begin_(other.begin_), region_(other.region_), offset_(other.offset_) {}

  Reference<T> operator[](std::size_t index) const { return {begin_, region_, offset_ + index}; }
  Pointer operator+(std::size_t offset) const {
    Pointer moved = *this;
    moved.offset_ += offset;
    return moved;
  }
  bool operator==(std::nullptr_t) const { return begin_ == nullptr; }

  // By the host.
  void copy_out(std::remove_const_t<T>* to, std::size_t count) const {
    region_->read_by_host(offset_, count);
    std::copy_n(begin_ + offset_, count, to);
  }
  void copy_in(const T* from, std::size_t count) const {
    region_->written_by_host(offset_, count);
    std::copy_n(from, count, begin_ + offset_);
  }

 private:
  template <class U>
  friend class Pointer;

  T* begin_ = nullptr;
  Region* region_ = nullptr;
  std::size_t offset_ = 0;
};

}  // namespace longhaul::compression::cuda::emulation
