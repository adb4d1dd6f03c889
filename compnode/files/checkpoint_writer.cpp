// A thread that takes snapshots off a short queue and writes them.
#include "compnode/files/checkpoint_writer.hpp"

#include "compnode/files/checkpoint_store.hpp"
#include "proto/assert.hpp"

#include <utility>

namespace longhaul::compnode {

CheckpointWriter::CheckpointWriter(Options options, Done done)
    : options_(std::move(options)), done_(std::move(done)), thread_([this] { run(); }) {
  LONGHAUL_ASSERT(options_.capacity >= 1);
}

CheckpointWriter::~CheckpointWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void CheckpointWriter::submit(StageSnapshot snapshot) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return queue_.size() < options_.capacity; });
  queue_.push_back(std::move(snapshot));
  ++unread_;
  changed_.notify_all();
}

void CheckpointWriter::wait_until_read() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return unread_ == 0; });
}

void CheckpointWriter::drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return queue_.empty() && !writing_; });
}

void CheckpointWriter::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    StageSnapshot snapshot = std::move(queue_.front());
    queue_.pop_front();
    writing_ = true;
    changed_.notify_all();
    lock.unlock();
    const std::uint64_t step = snapshot.info.step;
    done_(step, write(std::move(snapshot)));
    lock.lock();
    writing_ = false;
    changed_.notify_all();
  }
}

// Lets go of the tensors, and of whoever waits to change them.
void CheckpointWriter::on_read(StageSnapshot& snapshot) {
  snapshot.tensors.clear();
  const std::lock_guard lock(mutex_);
  --unread_;
  changed_.notify_all();
}

proto::Result<std::filesystem::path> CheckpointWriter::write(StageSnapshot snapshot) {
  bool read = false;
  auto path = write_stage_file(options_.directory, snapshot, [&] {
    read = true;
    on_read(snapshot);
  });
  if (!read) on_read(snapshot);
  if (!path || options_.keep == 0) return path;
  const auto pruned = prune_checkpoints(
      options_.directory, {.keep = options_.keep, .newest = snapshot.info.step});
  if (!pruned) return proto::with_context(path->string() + " is written", pruned.error());
  return path;
}

}  // namespace longhaul::compnode
