// The rules of access: what may follow what, and with which barrier in between.
#include "compression/cuda/emulation/memory.hpp"

#include "compression/cuda/emulation/grid.hpp"

#include <fmt/format.h>

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
  if (!shadow.read) return true;
  if (!shadow.many_readers) return ordered(shadow.reader, now);
  if (shadow.reader.launch != now.launch) return true;
  return shadow.reader.block == now.block && shadow.reader.barrier < now.barrier;
}

}  // namespace

Region::Region(std::string name, std::size_t count)
    : name_(std::move(name)), count_(count), shadow_(std::make_unique<Shadow[]>(count)) {}

void Region::fail(std::size_t index, const char* what) const {
  const Moment& now = current_moment();
  throw Fault(fmt::format("thread {} of block {}: element {} of {}, which has {}, {}", now.thread,
                          now.block, index, name_, count_, what));
}

Shadow& Region::at(std::size_t index) {
  if (index >= count_) fail(index, "is outside");
  if (shadow_ == nullptr) fail(index, "is constant");
  return shadow_[index];
}

void Region::make_constant() {
  read_by_host(0, count_);
  shadow_.reset();
}

void Region::check_read(std::size_t index, bool atomic) {
  if (shadow_ == nullptr && index < count_ && !atomic) return;
  Shadow& shadow = at(index);
  Moment now = current_moment();
  now.atomic = atomic;
  if (!shadow.written) fail(index, "was read but never written");
  if (!ordered(shadow.write, now) && !(atomic && shadow.write.atomic)) {
    fail(index, "was read without a barrier after another thread's write");
  }
  if (atomic) return;  // the write that follows stands for it
  if (shadow.read && !ordered(shadow.reader, now)) shadow.many_readers = true;
  if (shadow.many_readers && shadow.reader.launch == now.launch &&
      shadow.reader.block != now.block) {
    return;  // keep a reader of another block: no barrier orders it
  }
  shadow.read = true;
  shadow.reader = now;
}

void Region::check_write(std::size_t index, bool atomic) {
  Shadow& shadow = at(index);
  Moment now = current_moment();
  now.atomic = atomic;
  if (shadow.written && !ordered(shadow.write, now) && !(atomic && shadow.write.atomic)) {
    fail(index, "was written by two threads without a barrier between them");
  }
  if (!readers_ordered(shadow, now)) {
    fail(index, "was written without a barrier after another thread's read");
  }
  shadow.written = true;
  shadow.read = shadow.many_readers = false;
  shadow.write = now;
}

void Region::written_by_host(std::size_t begin, std::size_t count) {
  if (begin + count > count_) fail(begin + count, "is outside");
  if (shadow_ == nullptr) fail(begin, "is constant");
  for (std::size_t i = begin; i < begin + count; ++i) shadow_[i] = {.written = true};
}

void Region::read_by_host(std::size_t begin, std::size_t count) const {
  if (begin + count > count_) fail(begin + count, "is outside");
  for (std::size_t i = begin; shadow_ != nullptr && i < begin + count; ++i) {
    if (!shadow_[i].written) fail(i, "was copied to the host but never written");
  }
}

}  // namespace longhaul::compression::cuda::emulation
