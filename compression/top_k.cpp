// Top-k by search for the threshold: count what reaches a magnitude, close in, sort the last few.
#include "compression/top_k.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>

namespace longhaul::compression {
namespace {

constexpr std::size_t kSampled = 1 << 15;
constexpr std::uint32_t kFirstStep = 1 << 18;  // of magnitudes: 1/32 in value

std::uint32_t magnitude_of(float value) {
  return std::bit_cast<std::uint32_t>(value) & kMagnitudeMask;
}

// Between `low` (reached by at least k values) and `high` (by fewer) lies the threshold.
struct Bracket {
  std::uint32_t low = 0;
  std::uint32_t high = kRefusedMagnitude;
  std::size_t at_low = 0;
  std::size_t at_high = 0;

  [[nodiscard]] std::uint32_t middle() const { return low + (high - low) / 2; }
  // Where the threshold is if values lie evenly between the two.
  [[nodiscard]] std::uint32_t estimate(std::size_t k) const {
    const double share = static_cast<double>(at_low - k) / static_cast<double>(at_low - at_high);
    return low + static_cast<std::uint32_t>(share * static_cast<double>(high - low));
  }
};

// The next magnitude to count at: away from the guess in growing steps until the threshold is
// between two of them, then by estimate, and by halves if that does not end soon.
class Search {
 public:
  explicit Search(std::uint32_t guess) : next_(guess) {}

  std::uint32_t next(const Bracket& bracket) const {
    return next_ > bracket.low && next_ < bracket.high ? next_ : bracket.middle();
  }

  void counted(const Bracket& bracket, std::size_t k) {
    ++rounds_;
    const bool bounded = bracket.low != 0 && bracket.high != kRefusedMagnitude;
    if (!bounded && rounds_ < 8) {
      next_ = bracket.low != 0 ? bracket.low + step_
                               : (bracket.high > step_ ? bracket.high - step_ : 0);
      step_ *= 4;
    } else {
      next_ = rounds_ % 4 == 3 ? bracket.middle() : bracket.estimate(k);
    }
  }

 private:
  std::uint32_t next_;
  std::uint32_t step_ = kFirstStep;
  int rounds_ = 0;
};

// The k-th largest, once few magnitudes are left between the bracket's ends.
Threshold finish(std::span<const float> values, std::size_t k, const Bracket& bracket,
                 Buffer<std::uint32_t>& candidates) {
  const auto found = candidates.resize(bracket.at_low + kSlack);
  kernels().collect_at_least(values.data(), values.size(), bracket.low, 0, found.data());
  std::size_t few = 0;
  for (std::size_t i = 0; i < bracket.at_low; ++i) {
    const std::uint32_t magnitude = magnitude_of(values[found[i]]);
    found[few] = magnitude;
    few += magnitude < bracket.high ? 1 : 0;
  }
  const auto wanted = static_cast<std::ptrdiff_t>(k - bracket.at_high);  // from these, at least 1
  const auto kth = found.begin() + (wanted - 1);
  std::nth_element(found.begin(), kth, found.begin() + static_cast<std::ptrdiff_t>(few),
                   std::greater<>());
  const auto above =
      std::count_if(found.begin(), kth, [&](std::uint32_t magnitude) { return magnitude > *kth; });
  return {.magnitude = *kth, .ties = static_cast<std::size_t>(wanted - above)};
}

// A magnitude that a few more than k of all values are likely to reach.
std::uint32_t sampled_bound(std::span<const float> values, std::size_t k,
                            Buffer<std::uint32_t>& memory) {
  const auto sample = memory.resize(kSampled);
  const std::size_t stride = values.size() / kSampled;
  for (std::size_t i = 0; i < kSampled; ++i) sample[i] = magnitude_of(values[i * stride]);
  const double expected = static_cast<double>(k) / static_cast<double>(values.size()) * kSampled;
  const double rank = expected + 4.0 * std::sqrt(expected) + 4.0;
  if (rank >= kSampled) return 0;
  const auto at = sample.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(sample.begin(), at, sample.end(), std::greater<>());
  return *at;
}

}  // namespace

Threshold find_threshold(std::span<const float> values, std::size_t k, std::uint32_t guess,
                         Buffer<std::uint32_t>& candidates) {
  const std::size_t count = values.size();
  if (k == 0) return {.magnitude = kMagnitudeMask, .ties = 0};
  if (k == count) return {.magnitude = 0, .ties = count};
  const std::size_t few = 32 + count / 128;
  Bracket bracket{.at_low = count};
  Search search(guess);
  while (bracket.at_low - bracket.at_high > few && bracket.high - bracket.low > 1) {
    const std::uint32_t magnitude = search.next(bracket);
    const std::size_t reached = kernels().count_at_least(values.data(), count, magnitude);
    if (reached == k) return {.magnitude = magnitude - 1, .ties = 0};
    if (reached > k) {
      bracket.low = magnitude;
      bracket.at_low = reached;
    } else {
      bracket.high = magnitude;
      bracket.at_high = reached;
    }
    search.counted(bracket, k);
  }
  if (bracket.high - bracket.low == 1) {
    return {.magnitude = bracket.low, .ties = k - bracket.at_high};
  }
  return finish(values, k, bracket, candidates);
}

std::size_t select_per_row(std::span<const float> values, std::size_t columns, std::size_t k,
                           TopKMemory& memory, double& squares) {
  const std::size_t rows = columns == 0 ? 0 : values.size() / columns;
  const auto kept = memory.kept.resize(rows * k + kSlack);
  std::uint32_t guess = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    const auto row_values = values.subspan(row * columns, columns);
    for (std::size_t at = 0; at < columns; at += kPiece) {
      const std::size_t length = std::min(kPiece, columns - at);
      if (kernels().scan(row_values.data() + at, length, squares) >= kRefusedMagnitude) {
        return row * columns + at;
      }
    }
    Threshold threshold = find_threshold(row_values, k, guess, memory.search);
    guess = threshold.magnitude;
    kernels().collect_kept(row_values.data(), columns, threshold,
                           static_cast<std::uint32_t>(row * columns), kept.data() + row * k);
  }
  memory.kept.shorten(rows * k);
  return values.size();
}

std::size_t select_global(std::span<const float> values, std::size_t k, TopKMemory& memory,
                          double& squares) {
  const std::size_t count = values.size();
  const bool sampled = count > 4 * kSampled;
  const std::uint32_t bound = sampled ? sampled_bound(values, k, memory.candidates) : 0;
  // Candidates are collected in the pass that scans; too many of them are not worth it.
  const std::size_t most = sampled ? std::min(count, k + k / 2 + kPiece) : 0;
  const auto candidates = memory.candidates.resize(most + kPiece + kSlack);
  std::size_t found = 0;
  for (std::size_t at = 0; at < count; at += kPiece) {
    const std::size_t length = std::min(kPiece, count - at);
    if (kernels().scan(values.data() + at, length, squares) >= kRefusedMagnitude) return at;
    if (found >= most) continue;
    found += kernels().collect_at_least(values.data() + at, length, bound,
                                        static_cast<std::uint32_t>(at), candidates.data() + found);
  }
  const auto kept = memory.kept.resize(k + kSlack);
  memory.kept.shorten(k);
  if (found < k || found >= most) {
    Threshold threshold = find_threshold(values, k, bound, memory.search);
    kernels().collect_kept(values.data(), count, threshold, 0, kept.data());
    return count;
  }
  const auto few = memory.values.resize(found);
  for (std::size_t i = 0; i < found; ++i) few[i] = values[candidates[i]];
  Threshold threshold = find_threshold(few, k, bound, memory.search);
  kernels().collect_kept(few.data(), found, threshold, 0, kept.data());
  for (std::uint32_t& entry : kept.first(k)) entry = candidates[entry];
  return count;
}

}  // namespace longhaul::compression
