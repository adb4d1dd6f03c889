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
  changed_.notify_all();
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
    {
      const StageSnapshot snapshot = std::move(queue_.front());
      queue_.pop_front();
      writing_ = true;
      changed_.notify_all();
      lock.unlock();
      done_(snapshot.info.step, write(snapshot));
    }
    lock.lock();
    writing_ = false;
    changed_.notify_all();
  }
}

proto::Result<std::filesystem::path> CheckpointWriter::write(const StageSnapshot& snapshot) const {
  auto path = write_stage_file(options_.directory, snapshot);
  if (!path || options_.keep == 0) return path;
  const auto pruned = prune_checkpoints(
      options_.directory, {.keep = options_.keep, .newest = snapshot.info.step});
  if (!pruned) return proto::with_context(path->string() + " is written", pruned.error());
  return path;
}

}  // namespace longhaul::compnode
