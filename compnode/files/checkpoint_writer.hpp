// Writes checkpoints on a thread of its own while the training goes on.
#pragma once

#include "compnode/files/checkpoint_file.hpp"
#include "proto/error.hpp"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <mutex>
#include <thread>

namespace longhaul::compnode {

class CheckpointWriter {
 public:
  struct Options {
    std::filesystem::path directory;
    std::uint32_t keep = 0;    // prune_checkpoints after each file written; 0: never
    std::size_t capacity = 1;  // snapshots that may wait behind the one being written, >= 1
  };
  // Called on the writer's thread, once per snapshot in the order submitted: the file's path, or
  // why it could not be written. Must not throw, and must not call back into the writer. A failure
  // to prune is reported as the failure of that snapshot, whose file is then there all the same.
  using Done = std::function<void(std::uint64_t step, proto::Result<std::filesystem::path>)>;

  CheckpointWriter(Options options, Done done);
  // Writes what was submitted, then joins the thread.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // Takes the snapshot, whose tensors must not change before wait_until_read() returns; its owners
  // are released on the writer's thread once they are read. Waits while `capacity` snapshots are
  // queued: call it on a thread that may wait.
  void submit(StageSnapshot snapshot);
  // Waits until the tensors of every snapshot submitted have been read, or could not be written.
  // Syncing the files to disk goes on behind it.
  void wait_until_read();
  // Waits until every snapshot submitted has been reported.
  void drain();

 private:
  void run();
  [[nodiscard]] proto::Result<std::filesystem::path> write(StageSnapshot snapshot);
  void on_read(StageSnapshot& snapshot);

  const Options options_;
  const Done done_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<StageSnapshot> queue_;
  std::size_t unread_ = 0;  // snapshots that are queued or being read
  bool writing_ = false;
  bool stopping_ = false;
  std::thread thread_;  // last: starts when everything else is there
};

}  // namespace longhaul::compnode
