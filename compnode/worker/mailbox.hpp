// Where messages from other workers wait until the executor asks for them by name.
#pragma once

#include "proto/channel/tensor_channel.hpp"
#include "proto/error.hpp"
#include "proto/ids.hpp"
#include "proto/tensor.pb.h"

#include <compare>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace longhaul::compnode {

// Where in the run a message belongs.
struct Moment {
  wire::TensorHeader::Phase phase = wire::TensorHeader::TRAINING;
  std::uint64_t step = 0;
  proto::MicroBatchIndex micro_batch;

  auto operator<=>(const Moment&) const = default;
};

struct MessageKey {
  proto::StageIndex from;
  wire::TensorHeader::Kind kind = wire::TensorHeader::UNSPECIFIED;
  Moment moment;
  std::string name;

  auto operator<=>(const MessageKey&) const = default;
};

[[nodiscard]] MessageKey key_of(const wire::TensorHeader& header);

struct Message {
  wire::TensorHeader header;
  proto::Payload payload;
  bool credited = false;  // the mailbox's
};

// Filled on the loop thread, emptied on the executor's. Payloads count as tensor memory.
class Mailbox {
 public:
  // Told that a message of this many payload bytes no longer counts against its sender's credit: it
  // was taken; or something else of this sender is waited for, which may be behind it. On any
  // thread.
  using Used = std::function<void(proto::StageIndex from, std::uint64_t payload_bytes)>;
  explicit Mailbox(Used used) : used_(std::move(used)) {}

  // False if a message of this key is waiting already: the peer does not keep to the protocol.
  [[nodiscard]] bool put(MessageKey key, Message message);

  // Waits for the message. Throws proto::Failed with the error of close() or lose(), once no
  // message of this key is there.
  [[nodiscard]] Message take(const MessageKey& key);

  // Throws proto::Failed with the error of close(), if that was called.
  void check_open();
  // Every take(), waiting or to come, fails with the first error given.
  void close(proto::Error error);
  // The same for messages of one stage. What it sent before can still be taken: a stage that has
  // finished leaves while others have yet to read its last words.
  void lose(proto::StageIndex from, proto::Error error);

 private:
  void credit(Message& message);

  Used used_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<MessageKey, Message> messages_;
  std::optional<proto::Error> closed_;
  std::map<proto::StageIndex, proto::Error> lost_;
  std::optional<MessageKey> awaited_;
};

}  // namespace longhaul::compnode
