// The rules of access: what may follow what, and with which barrier in between.
#include "compression/cuda/emulation/memory.hpp"

#include "compression/cuda/emulation/grid.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <new>
#include <utility>

namespace longhaul::compression::cuda::emulation {
namespace {

constexpr unsigned kLanesOfWarp = 32;

// Whether `now` surely comes after `earlier`, whatever the device does.
bool ordered(const Moment& earlier, const Moment& now) {
  if (earlier.launch != now.launch) return true;
  if (earlier.block != now.block) return false;
  if (earlier.thread == now.thread || earlier.barrier < now.barrier) return true;
  return earlier.thread / kLanesOfWarp == now.thread / kLanesOfWarp &&
         earlier.warp_step < now.warp_step;
}

// Where many have read, their warps are not known: only the block's barrier counts.
bool readers_ordered(const Shadow& shadow, const Moment& now) {
  if (shadow.reader.one_of_many == 0) return ordered(shadow.reader, now);
  if (shadow.reader.launch != now.launch) return true;
  return shadow.reader.block == now.block && shadow.reader.barrier < now.barrier;
}

}  // namespace

Region::Region(std::string name, std::size_t count) : name_(std::move(name)), count_(count) {}

Region::~Region() { std::free(shadow_); }

void Region::fail(std::size_t index, const char* what) const {
  const Moment& now = current_moment();
  throw Fault(fmt::format("thread {} of block {}: element {} of {}, which has {}, {}",
                          unsigned{now.thread}, now.block, index, name_, count_, what));
}

void Region::remember() {
  shadow_ = static_cast<Shadow*>(std::calloc(std::max<std::size_t>(count_, 1), sizeof(Shadow)));
  if (shadow_ == nullptr) throw std::bad_alloc();
  for (std::size_t i = 0; state_ == State::kWritten && i < count_; ++i) {
    shadow_[i].write.launch = kHost;
  }
  state_ = State::kShadowed;
}

Shadow& Region::at(std::size_t index) {
  if (index >= count_) fail(index, "is outside");
  if (state_ == State::kConstant) fail(index, "is constant");
  if (state_ != State::kShadowed) remember();
  return shadow_[index];
}

void Region::check_read(std::size_t index, bool atomic) {
  if (state_ == State::kConstant && index < count_ && !atomic) return;
  Shadow& shadow = at(index);
  Moment now = current_moment();
  now.atomic = atomic;
  if (shadow.write.launch == 0) fail(index, "was read but never written");
  if (!ordered(shadow.write, now) && !(atomic && shadow.write.atomic)) {
    fail(index, "was read without a barrier after another thread's write");
  }
  if (atomic) return;  // the write that follows stands for it
  Moment& reader = shadow.reader;
  const bool many =
      (reader.one_of_many != 0 && reader.launch == now.launch) || !ordered(reader, now);
  // Of many, one of another block is kept: no barrier orders it.
  if (many && reader.launch == now.launch && reader.block != now.block) {
    reader.one_of_many = 1;
    return;
  }
  reader = now;
  reader.one_of_many = many;
}

void Region::check_write(std::size_t index, bool atomic) {
  Shadow& shadow = at(index);
  Moment now = current_moment();
  now.atomic = atomic;
  if (!ordered(shadow.write, now) && !(atomic && shadow.write.atomic)) {
    fail(index, "was written by two threads without a barrier between them");
  }
  if (!readers_ordered(shadow, now)) {
    fail(index, "was written without a barrier after another thread's read");
  }
  shadow.reader = {};
  shadow.write = now;
}

void Region::written_by_host(std::size_t begin, std::size_t count) {
  if (begin + count > count_) fail(begin + count, "is outside");
  if (state_ == State::kUnwritten && count == count_) state_ = State::kWritten;
  if (state_ == State::kWritten) return;
  for (std::size_t i = begin; i < begin + count; ++i) {
    at(i) = {.write = {.launch = kHost}, .reader = {}};
  }
}

void Region::read_by_host(std::size_t begin, std::size_t count) const {
  if (begin + count > count_) fail(begin + count, "is outside");
  if (state_ == State::kWritten || state_ == State::kConstant) return;
  for (std::size_t i = begin; i < begin + count; ++i) {
    if (state_ == State::kUnwritten || shadow_[i].write.launch == 0) {
      fail(i, "was copied to the host but never written");
    }
  }
}

void Region::make_constant() {
  read_by_host(0, count_);
  std::free(std::exchange(shadow_, nullptr));
  state_ = State::kConstant;
}

}  // namespace longhaul::compression::cuda::emulation
