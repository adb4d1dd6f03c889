// The scheduler: lanes run until each waits or ends, then warps meet, then the block does.
#include "compression/cuda/emulation/grid.hpp"

#include "compression/cuda/emulation/fiber.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <exception>
#include <memory>
#include <numeric>
#include <random>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace longhaul::compression::cuda::emulation {
namespace {

constexpr unsigned kLanesOfWarp = 32;
constexpr unsigned kMostThreads = 1024;

enum class State : std::uint8_t { kRunnable, kAtWarp, kAtBlock, kDone };

struct Thread {
  Fiber fiber;
  Coordinates coordinates;
  Moment moment;
  State state = State::kRunnable;
  std::source_location where;  // it waits
  std::uint32_t mask = 0;      // whom it waits for
  std::uint64_t value = 0;     // what it gives them
};

struct SharedArray {
  std::unique_ptr<std::max_align_t[]> bytes;
  std::unique_ptr<Region> region;
};

struct Abandoned {};  // thrown in fibers whose grid has failed

struct Machine {
  Order order = Order::kForward;
  std::mt19937_64 random;
  std::uint32_t launches = kHost;
  std::deque<Stack> stacks;
  std::vector<Thread> threads;
  std::vector<WarpValues> warp_values;
  std::unordered_map<const void*, SharedArray> shared;
  std::exception_ptr failure;
  bool abandoned = false;
};

Machine the_machine;
Thread* running = nullptr;  // null while the host's code runs

std::vector<unsigned> turns(unsigned count) {
  std::vector<unsigned> turns(count);
  std::iota(turns.begin(), turns.end(), 0U);
  switch (the_machine.order) {
    case Order::kForward:
      break;
    case Order::kReverse:
      std::ranges::reverse(turns);
      break;
    case Order::kRandom:
      std::ranges::shuffle(turns, the_machine.random);
      break;
  }
  return turns;
}

std::string line_of(const std::source_location& where) {
  const std::string_view path = where.file_name();
  return fmt::format("{}:{}", path.substr(path.rfind('/') + 1), where.line());
}

bool same_place(const std::source_location& a, const std::source_location& b) {
  if (a.line() != b.line() || a.column() != b.column()) return false;
  return a.file_name() == b.file_name() || std::string_view(a.file_name()) == b.file_name();
}

void run(Thread& thread) {
  running = &thread;
  thread.fiber.resume();
  running = nullptr;
  if (the_machine.failure != nullptr) {
    std::rethrow_exception(std::exchange(the_machine.failure, nullptr));
  }
}

void wait(State state) {
  Thread& thread = *running;
  thread.state = state;
  thread.fiber.suspend();
  if (the_machine.abandoned) throw Abandoned{};
}

// The lanes that wait for the same meeting as `thread`, as a mask.
std::uint32_t companions(std::span<const Thread> warp, const Thread& thread) {
  std::uint32_t lanes = 0;
  for (std::size_t lane = 0; lane < warp.size(); ++lane) {
    const Thread& other = warp[lane];
    if (other.state == State::kAtWarp && other.mask == thread.mask &&
        same_place(other.where, thread.where)) {
      lanes |= 1U << lane;
    }
  }
  return lanes;
}

// All lanes wait or are done: lets those go on whose meeting is complete. False if none waits.
bool meet(std::span<Thread> warp, WarpValues& values) {
  const std::uint32_t all = warp.size() == kLanesOfWarp ? ~0U : (1U << warp.size()) - 1;
  std::uint32_t met = 0;
  bool whole = false;  // parts of a warp that meet are not ordered among each other
  for (std::size_t lane = 0; lane < warp.size(); ++lane) {
    Thread& thread = warp[lane];
    if (thread.state != State::kAtWarp || (met >> lane & 1U) != 0) continue;
    const std::uint32_t lanes = companions(warp, thread);
    if (lanes != thread.mask) {
      throw Fault(
          fmt::format("{}: a warp's collective for lanes {:#010x}, to which only {:#010x} "
                      "came (thread {} of block {})",
                      line_of(thread.where), thread.mask, lanes, unsigned{thread.moment.thread},
                      thread.moment.block));
    }
    met |= lanes;
    whole = whole || lanes == all;
  }
  for (std::size_t lane = 0; lane < warp.size(); ++lane) {
    if ((met >> lane & 1U) == 0) continue;
    values[lane] = warp[lane].value;
    if (whole) ++warp[lane].moment.warp_step;
    warp[lane].state = State::kRunnable;
  }
  return met != 0;
}

// Until each lane is at the block's barrier or done.
void run_warp(std::span<Thread> warp, WarpValues& values) {
  do {
    for (const unsigned lane : turns(static_cast<unsigned>(warp.size()))) {
      if (warp[lane].state == State::kRunnable) run(warp[lane]);
    }
  } while (meet(warp, values));
}

// False once all threads are done.
bool pass_barrier(std::span<Thread> threads) {
  const auto waits = [](const Thread& thread) { return thread.state == State::kAtBlock; };
  const auto first = std::ranges::find_if(threads, waits);
  if (first == threads.end()) return false;
  for (Thread& thread : threads) {
    if (thread.state == State::kAtBlock && same_place(thread.where, first->where)) continue;
    throw Fault(fmt::format("{}: a barrier that thread {} of block {} waits at and thread {} {}",
                            line_of(first->where), unsigned{first->moment.thread},
                            first->moment.block, unsigned{thread.moment.thread},
                            thread.state == State::kDone ? "has left the kernel without"
                                                         : "does not: it is at another"));
  }
  for (Thread& thread : threads) {
    thread.state = State::kRunnable;
    if (++thread.moment.barrier == 0) throw Fault("a kernel passes 65,536 barriers");
  }
  return true;
}

void body_of(const std::function<void()>& body) {
  try {
    if (!the_machine.abandoned) body();
  } catch (const Abandoned&) {
    // the grid has failed elsewhere
  } catch (...) {
    the_machine.failure = std::current_exception();
  }
  running->state = State::kDone;
}

void start_threads(dim3 grid, dim3 block, unsigned block_number,
                   const std::function<void()>& body) {
  Machine& here = the_machine;
  here.shared.clear();
  for (unsigned i = 0; i < here.threads.size(); ++i) {
    Thread& thread = here.threads[i];
    thread.coordinates = {.thread = {i % block.x, i / block.x % block.y, i / (block.x * block.y)},
                          .block = {block_number % grid.x, block_number / grid.x % grid.y,
                                    block_number / (grid.x * grid.y)},
                          .block_extent = block,
                          .grid_extent = grid};
    thread.moment = {.launch = here.launches,
                     .block = block_number,
                     .thread = static_cast<std::uint16_t>(i & 0x7ffU)};
    thread.state = State::kRunnable;
    thread.fiber.start(here.stacks[i], [&body] { body_of(body); });
  }
}

void run_block(unsigned warps) {
  const std::span<Thread> threads = the_machine.threads;
  do {
    for (const unsigned warp : turns(warps)) {
      const std::size_t first = std::size_t{warp} * kLanesOfWarp;
      run_warp(threads.subspan(first, std::min<std::size_t>(kLanesOfWarp, threads.size() - first)),
               the_machine.warp_values[warp]);
    }
  } while (pass_barrier(threads));
}

// Lets every fiber that still waits leave its function.
void abandon() {
  Machine& here = the_machine;
  here.abandoned = true;
  for (Thread& thread : here.threads) {
    while (thread.state != State::kDone) {
      running = &thread;
      thread.fiber.resume();
    }
  }
  running = nullptr;
  here.failure = nullptr;
  here.abandoned = false;
}

}  // namespace

void set_order(Order order, std::uint64_t seed) {
  the_machine.order = order;
  the_machine.random.seed(seed);
}

void run_grid(dim3 grid, dim3 block, const std::function<void()>& body) {
  Machine& here = the_machine;
  const unsigned count = block.x * block.y * block.z;
  if (count == 0 || count > kMostThreads || grid.x * grid.y * grid.z == 0) {
    throw Fault(
        fmt::format("{} blocks of {} threads cannot be launched", grid.x * grid.y * grid.z, count));
  }
  const unsigned warps = (count + kLanesOfWarp - 1) / kLanesOfWarp;
  ++here.launches;
  here.threads = std::vector<Thread>(count);
  here.warp_values.resize(std::max<std::size_t>(here.warp_values.size(), warps));
  while (here.stacks.size() < count) here.stacks.emplace_back();
  for (const unsigned number : turns(grid.x * grid.y * grid.z)) {
    start_threads(grid, block, number, body);
    try {
      run_block(warps);
    } catch (...) {
      abandon();
      throw;
    }
  }
}

const Coordinates& coordinates() { return running->coordinates; }

const Moment& current_moment() {
  static const Moment host{.launch = kHost};
  return running == nullptr ? host : running->moment;
}

void block_barrier(std::source_location where) {
  running->where = where;
  wait(State::kAtBlock);
}

const WarpValues& warp_exchange(std::uint32_t mask, std::uint64_t value,
                                std::source_location where) {
  Thread& thread = *running;
  const unsigned lane = thread.moment.thread % kLanesOfWarp;
  if ((mask >> lane & 1U) == 0) {
    throw Fault(fmt::format("{}: lane {} is not in the mask {:#010x} that it gives", line_of(where),
                            lane, mask));
  }
  thread.where = where;
  thread.mask = mask;
  thread.value = value;
  wait(State::kAtWarp);
  return the_machine.warp_values[thread.moment.thread / kLanesOfWarp];
}

SharedMemory shared_memory(const void* tag, const char* name, std::size_t count,
                           std::size_t element_bytes) {
  SharedArray& array = the_machine.shared[tag];
  if (array.region == nullptr) {
    const std::size_t units = count * element_bytes / sizeof(std::max_align_t) + 1;
    array.bytes = std::make_unique<std::max_align_t[]>(units);
    array.region = std::make_unique<Region>(fmt::format("shared {}", name), count);
  }
  return {array.bytes.get(), array.region.get()};
}

}  // namespace longhaul::compression::cuda::emulation
