// Short words by scanning for the lowest rank, long ones with a heap: the same order of merges.
#include "compnode/data/byte_pair_merger.hpp"

#include "proto/assert.hpp"

#include <algorithm>
#include <functional>

namespace longhaul::compnode {
namespace {

constexpr std::size_t kShortWord = 48;  // up to here scanning is faster than a heap
constexpr std::uint32_t kNoPart = 0xffffffff;
constexpr std::uint32_t kNoMerge = Vocabulary::kNoMerge;

}  // namespace

std::span<const TokenId> BytePairMerger::merge(std::string_view word) {
  LONGHAUL_ASSERT(!word.empty() && word.size() <= kMostBytes);
  if (word.size() <= kShortWord) {
    merge_short(word);
  } else {
    merge_long(word);
  }
  return ids_;
}

void BytePairMerger::merge_short(std::string_view word) {
  const std::size_t bytes = word.size();
  ids_.resize(bytes);
  ranks_.resize(bytes);
  for (std::size_t i = 0; i < bytes; ++i) {
    ids_[i] = vocabulary_.byte_token(static_cast<unsigned char>(word[i]));
  }
  for (std::size_t i = 0; i + 1 < bytes; ++i)
    ranks_[i] = vocabulary_.merge(ids_[i], ids_[i + 1]).rank;
  ranks_[bytes - 1] = kNoMerge;

  std::size_t count = bytes;
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i) {
      if (ranks_[i] < ranks_[best]) best = i;
    }
    if (ranks_[best] == kNoMerge) break;
    ids_[best] = vocabulary_.merge(ids_[best], ids_[best + 1]).result;
    std::copy(ids_.begin() + static_cast<std::ptrdiff_t>(best) + 2,
              ids_.begin() + static_cast<std::ptrdiff_t>(count),
              ids_.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    std::copy(ranks_.begin() + static_cast<std::ptrdiff_t>(best) + 2,
              ranks_.begin() + static_cast<std::ptrdiff_t>(count),
              ranks_.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    --count;
    if (best > 0) ranks_[best - 1] = vocabulary_.merge(ids_[best - 1], ids_[best]).rank;
    ranks_[best] = best + 1 < count ? vocabulary_.merge(ids_[best], ids_[best + 1]).rank : kNoMerge;
  }
  ids_.resize(count);
}

void BytePairMerger::push(std::uint32_t part) {
  Part& left = parts_[part];
  left.rank =
      left.next == kNoPart ? kNoMerge : vocabulary_.merge(left.id, parts_[left.next].id).rank;
  if (left.rank == kNoMerge) return;
  heap_.push_back(std::uint64_t{left.rank} << 32 | part);
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>{});
}

void BytePairMerger::merge_long(std::string_view word) {
  const auto bytes = static_cast<std::uint32_t>(word.size());
  parts_.resize(bytes);
  heap_.clear();
  for (std::uint32_t i = 0; i < bytes; ++i) {
    parts_[i] = {vocabulary_.byte_token(static_cast<unsigned char>(word[i])), kNoMerge,
                 i == 0 ? kNoPart : i - 1, i + 1 == bytes ? kNoPart : i + 1};
  }
  for (std::uint32_t i = 0; i + 1 < bytes; ++i) {
    parts_[i].rank = vocabulary_.merge(parts_[i].id, parts_[i + 1].id).rank;
    if (parts_[i].rank != kNoMerge) heap_.push_back(std::uint64_t{parts_[i].rank} << 32 | i);
  }
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>{});

  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>{});
    const auto place = static_cast<std::uint32_t>(heap_.back());
    const auto rank = static_cast<std::uint32_t>(heap_.back() >> 32);
    heap_.pop_back();
    Part& left = parts_[place];
    if (left.rank != rank) continue;  // this pair has changed since
    Part& right = parts_[left.next];
    left.id = vocabulary_.merge(left.id, right.id).result;
    left.next = right.next;
    right.rank = kNoMerge;
    if (left.next != kNoPart) parts_[left.next].previous = place;
    push(place);
    if (left.previous != kNoPart) push(left.previous);
  }

  ids_.clear();
  for (std::uint32_t place = 0; place != kNoPart; place = parts_[place].next) {
    ids_.push_back(parts_[place].id);
  }
}

}  // namespace longhaul::compnode
