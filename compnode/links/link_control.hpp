// Which rung each link of a stage uses, step by step: the job's setting, what the links show, and
// what the stages tell each other at the end of a step.
#pragma once

#include "compression/link_policy.hpp"
#include "compression/rung.hpp"
#include "proto/channel/tensor_channel.hpp"
#include "proto/compression_setting.hpp"
#include "proto/control.pb.h"
#include "proto/ids.hpp"
#include "proto/plan.hpp"
#include "proto/transfer_budget.hpp"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace longhaul::compnode {

// One direction of the boundaries between two stages. A forward link's sender is `from`, a backward
// link's is `to`.
struct BoundaryLink {
  proto::StageIndex from;  // of the forward
  proto::StageIndex to;
  bool backward = false;

  auto operator<=>(const BoundaryLink&) const = default;
  [[nodiscard]] proto::StageIndex sender() const { return backward ? to : from; }
  [[nodiscard]] proto::StageIndex receiver() const { return backward ? from : to; }
};

// kConfiguration: a rung that does not exist.
[[nodiscard]] proto::Result<void> check_setting(const proto::CompressionSetting& setting);

// Functions may be called from several threads, end_step() from one.
class LinkControl {
 public:
  struct Options {
    proto::StageIndex self;
    proto::CompressionSetting setting;  // check_setting() passes it
    bool from_scratch = true;           // weights that were not given
    std::uint64_t steps = 0;            // of the job
    double anneal = 0.0;
    std::size_t activation_bytes = 4;  // per entry, uncompressed
  };
  // `links`: of every tensor that crosses one in a micro-batch, over the whole job; the same in
  // every stage.
  LinkControl(std::vector<BoundaryLink> links, const proto::Plan& plan, Options options);

  // False: every tensor goes out as it is.
  [[nodiscard]] bool compresses() const {
    return options_.setting.mode != proto::CompressionSetting::Mode::kDense;
  }

  // The rung under which a tensor goes out on a link of this stage. `forward`: the rung under which
  // the forward of the same micro-batch came, where the link is backward.
  [[nodiscard]] compression::Rung rung_for(const BoundaryLink& link,
                                           const compression::Rung& forward) const;

  // What the encoder made for one tensor of training, and what a receiver of ours spent decoding.
  void on_encoded(const BoundaryLink& link, const compression::RungSample& sample);
  void on_decoded(const BoundaryLink& link, double seconds);
  // Computation per micro-batch so far; asked for until the first step has ended.
  void on_computed(double forward_s, double backward_s);
  // Rungs to be encoded for knowledge only, once each, on a few rows of a tensor of this link.
  [[nodiscard]] std::optional<compression::Rung> take_trial(const BoundaryLink& link);
  void on_trial(const BoundaryLink& link, const compression::RungSample& sample);
  void on_state(proto::StageIndex peer, const proto::LinkState& state);

  // What this stage tells the others at the end of a step: as many numbers in every stage.
  // `forward_s`, `backward_s`: its computation per micro-batch.
  [[nodiscard]] std::vector<double> numbers(double forward_s, double backward_s) const;
  [[nodiscard]] std::size_t number_count() const { return 2 + links_.size() * kPerLink; }
  // Chooses the rungs of the next step. `told`: the numbers of every stage. `step`: the one that
  // has ended, from 0.
  void end_step(std::uint64_t step, double loss, std::span<const std::vector<double>> told);

  // Fills in what is known of the link to `peer`: measurements always, rungs for "forward" and
  // "backward".
  void fill(proto::StageIndex peer, wire::LinkReport& report) const;

 private:
  enum Number : std::size_t {
    kBestS,    // the sender's: the least that the link could take
    kDenseS,   // the sender's: what dense tensors would take
    kHardest,  // a forward's sender: 1 + the hardest rung that is allowed; 0: not known yet
    kRung,     // a forward's sender: the rung of the step
    kDemand,   // a backward's sender: what it asks of the forward
    kDecodeS,  // the receiver's: per micro-batch
    kPerLink,
  };
  // Of the slowest stage, per micro-batch.
  struct StageTime {
    double forward_s = 0.0;
    double backward_s = 0.0;
    [[nodiscard]] double sum() const { return forward_s + backward_s; }
  };
  struct Sending {
    std::unique_ptr<compression::LinkPolicy> policy;  // adaptive only
    bool begun = false;                               // the first step's rung is chosen
    compression::Rung rung;                           // forward, and baselines
    compression::Rung choice;                         // adaptive, backward
    // Of the running step, by what was encoded.
    std::vector<compression::RungSample> samples;
    std::vector<compression::RungSample> trials;
    std::vector<compression::Rung> wanted;
    double entries = 0.0;
    std::size_t tensors = 0;
    std::size_t tensors_per_micro_batch = 0;
    // Of the step before.
    double entries_per_micro_batch = 0.0;
    double bytes_per_micro_batch = 0.0;
    double encode_s_per_micro_batch = 0.0;
    double decode_s_per_micro_batch = 0.0;
    double decode_s = 0.0;  // in all
    double budget_s = 0.0;
    std::uint64_t change_step = 0;
    std::uint64_t changes = 0;
    std::uint64_t begin_changes = 0;  // in the first step: not the policy's
    std::string reason;
  };

  [[nodiscard]] compression::PolicyOptions policy_options(bool backward) const;
  void begin(const BoundaryLink& link, Sending& sending);
  [[nodiscard]] double goodput(const BoundaryLink& link) const;
  [[nodiscard]] double dense_s(const BoundaryLink& link, const Sending& sending) const;
  void see_pace(const StageTime& slowest);
  void choose_adaptive(std::size_t index, std::uint64_t step, double loss, double water_level_s,
                       std::span<const double> sums);
  void choose_adatopk(Sending& sending, const BoundaryLink& link, double slowest_s,
                      std::uint64_t step);
  [[nodiscard]] std::optional<std::size_t> index_of(const BoundaryLink& link) const;

  std::vector<BoundaryLink> links_;  // each once
  const Options options_;
  proto::PipelinePace pace_;  // of the last steps; in the first one of this stage alone
  std::deque<StageTime> slowest_;  // of the last steps, the latest last
  std::size_t boundaries_ = 1;
  bool first_step_ = true;
  std::optional<compression::Rung> fixed_;
  mutable std::mutex mutex_;
  std::map<BoundaryLink, Sending> sending_;   // links whose sender this stage is
  std::map<BoundaryLink, double> decoded_s_;  // of links whose receiver it is, in this step
  std::map<proto::StageIndex, proto::LinkState> states_;
};

}  // namespace longhaul::compnode
