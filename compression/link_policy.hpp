// Picks the rung of one link direction for the next step, and says why. README.md has the rules.
#pragma once

#include "compression/link_outlook.hpp"
#include "compression/link_reading.hpp"
#include "compression/loss_guard.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace longhaul::compression {

struct Decision {
  // Forward: for encode(). Backward: the values for encode_masked(), or the rung for encode(),
  // under the forward rung of the input; where the message in hand had another forward, send
  // backward_rung(choice, that forward).
  Rung rung;
  Rung choice;           // where the link is heading: a rung of the ladder or of value_rungs()
  bool changed = false;  // `rung` is another one than before
  // "forward int8/128 -> topk10%-int4/64-packed: goodput fell 210 -> 84 Mbit/s, 61 ms over budget"
  std::string reason;  // empty unless changed
};

// One per outgoing direction of a boundary, at its sender. Same inputs, same decisions. Not for
// several threads at once.
class LinkPolicy {
 public:
  explicit LinkPolicy(const PolicyOptions& options);

  // Once after each step, at every link of the job.
  [[nodiscard]] Decision next(const StepInput& input);

  [[nodiscard]] const Rung& rung() const { return rung_; }
  // For the exchange of numbers between stages, after next().
  [[nodiscard]] double best_time_s() const;                     // 0: not known
  [[nodiscard]] std::size_t hardest_allowed() const;            // forward: a place in the ladder
  [[nodiscard]] std::size_t demand() const { return demand_; }  // backward: for the forward

  // Rungs that the worker should encode on a few rows of a tensor and report as samples, the most
  // wanted first. Those without selection of a backward link: under a mask if there is one.
  [[nodiscard]] std::vector<Rung> wanted_trials(std::size_t most) const;

  // Reason of the last change of mind; moves on the way to a rung and backward rungs that only
  // follow their forward are none, and moves one way in successive steps are one.
  [[nodiscard]] const std::string& last_reason() const { return last_reason_; }
  [[nodiscard]] std::uint64_t changes() const { return changes_; }
  [[nodiscard]] double goodput_bytes_per_s() const { return outlook_.goodput_bytes_per_s(); }

 private:
  static constexpr std::uint32_t kLongestProbeHold = 128;  // steps
  enum class Cause { kTooSlow, kDemand, kForced, kLoss, kHeld, kProbe };
  struct Move {
    std::size_t place;
    Cause cause;
    std::string why;
  };

  [[nodiscard]] std::optional<Move> choose(const StepInput& input);
  [[nodiscard]] std::optional<Move> forced();
  [[nodiscard]] std::optional<Move> harder(const StepInput& input);
  [[nodiscard]] std::optional<Move> milder(const StepInput& input);
  [[nodiscard]] std::optional<Move> probe(const StepInput& input);
  [[nodiscard]] std::optional<std::size_t> next_milder(std::size_t least) const;
  [[nodiscard]] bool worth_a_try(std::optional<double> time_s) const;
  [[nodiscard]] std::optional<Move> take_back(const LossGuard::Rise& rise);
  void anneal();
  void update_demand(const StepInput& input);
  void take(const Move& move);
  void note_level();
  void revert(bool tried);
  [[nodiscard]] bool climbed_lately() const;
  void guard(std::size_t old_place, Cause cause);
  void unwatch();
  [[nodiscard]] std::string follow(const Rung& old, const Rung& goal);
  [[nodiscard]] const char* direction() const;
  [[nodiscard]] Decision arrive(const std::optional<Move>& move);
  [[nodiscard]] std::size_t allowed_demand(std::size_t demand) const;
  [[nodiscard]] std::string goodput_text() const;

  const PolicyOptions options_;
  LinkOutlook outlook_;
  LossGuard guard_;

  std::size_t target_;
  Rung rung_;
  std::uint64_t step_ = 0;

  std::uint32_t over_steps_ = 0;  // the last steps over the limit

  std::uint32_t hold_;      // steps that a milder rung must fit now
  std::uint32_t held_ = 0;  // steps that it has fitted
  std::size_t last_better_ = 0;
  std::optional<std::uint64_t> last_climb_;
  std::uint64_t quiet_since_ = 0;

  std::uint32_t probe_hold_;       // steps without a full link before a try
  std::uint32_t bound_steps_ = 0;  // steps without a full link
  std::uint32_t worth_steps_ = 0;  // of these the last in which a milder rung was worth a try
  double last_full_ = 0.0;         // goodput when the link was last full; 0: never
  bool probing_ = false;           // a try has not yet lasted a whole step
  std::size_t probed_from_ = 0;
  bool probed_well_ = false;  // the last try fitted: the next one comes soon
  std::size_t demand_ = 0;

  std::vector<std::size_t> guarded_;  // places before the changes that are watched, oldest first
  std::uint64_t bar_steps_;
  std::optional<std::uint32_t> anneal_start_;

  double goodput_then_ = 0.0;  // at the last change, or first seen
  double limit_then_ = 0.0;
  std::string last_reason_;
  std::uint64_t changes_ = 0;
  std::uint64_t last_move_ = 0;  // step of the last move, on the way or not
  int last_way_ = 0;             // 1 harder, -1 milder, 0 none yet
};

}  // namespace longhaul::compression
