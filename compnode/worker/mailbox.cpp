// A map under a mutex: one executor waits, one loop delivers.
#include "compnode/worker/mailbox.hpp"

#include "compnode/execution/torch.hpp"

#include <memory>
#include <utility>

namespace longhaul::compnode {
namespace {

// Keeps the payload's owner and the count of its bytes together.
struct CountedOwner {
  std::shared_ptr<const void> owner;
  std::int64_t bytes;

  CountedOwner(std::shared_ptr<const void> held, std::size_t size)
      : owner(std::move(held)), bytes(static_cast<std::int64_t>(size)) {
    account_foreign_memory(bytes);
  }
  ~CountedOwner() { account_foreign_memory(-bytes); }
  CountedOwner(const CountedOwner&) = delete;
  CountedOwner& operator=(const CountedOwner&) = delete;
};

}  // namespace

MessageKey key_of(const wire::TensorHeader& header) {
  return {proto::StageIndex{header.from_stage()},
          header.kind(),
          {header.phase(), header.step(), proto::MicroBatchIndex{header.micro_batch()}},
          header.name()};
}

void Mailbox::credit(Message& message) {
  if (std::exchange(message.credited, true)) return;
  if (used_) used_(proto::StageIndex{message.header.from_stage()}, message.payload.bytes.size());
}

bool Mailbox::put(MessageKey key, Message message) {
  message.payload.owner = std::make_shared<CountedOwner>(std::move(message.payload.owner),
                                                         message.payload.bytes.size());
  {
    const std::lock_guard lock(mutex_);
    if (awaited_ && awaited_->from == key.from && *awaited_ != key) credit(message);
    if (!messages_.try_emplace(std::move(key), std::move(message)).second) return false;
  }
  changed_.notify_one();
  return true;
}

Message Mailbox::take(const MessageKey& key) {
  std::unique_lock lock(mutex_);
  const auto over = [&] {
    return closed_.has_value() || lost_.contains(key.from) || messages_.contains(key);
  };
  if (!over()) {
    awaited_ = key;
    for (auto& [other, message] : messages_) {
      if (other.from == key.from) credit(message);
    }
    changed_.wait(lock, over);
    awaited_.reset();
  }
  if (closed_) throw proto::Failed(*closed_);
  auto found = messages_.extract(key);
  if (found.empty()) throw proto::Failed(lost_.at(key.from));
  credit(found.mapped());
  return std::move(found.mapped());
}

void Mailbox::check_open() {
  const std::lock_guard lock(mutex_);
  if (closed_) throw proto::Failed(*closed_);
}

void Mailbox::lose(proto::StageIndex from, proto::Error error) {
  {
    const std::lock_guard lock(mutex_);
    lost_.try_emplace(from, std::move(error));
  }
  changed_.notify_all();
}

void Mailbox::close(proto::Error error) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) closed_ = std::move(error);
  }
  changed_.notify_all();
}

}  // namespace longhaul::compnode
