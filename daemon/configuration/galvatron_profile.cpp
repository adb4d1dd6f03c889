// One function per file; what is missing is told where it should stand.
#include "daemon/configuration/galvatron_profile.hpp"

#include "daemon/configuration/json_document.hpp"
#include "daemon/configuration/printable.hpp"
#include "daemon/configuration/reading.hpp"
#include "daemon/configuration/rules.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace longhaul::daemon {
namespace {

using scheduler::galvatron::ByDegree;
using scheduler::galvatron::LayerMemory;
using scheduler::galvatron::MsBySize;
using scheduler::galvatron::Profile;
using scheduler::galvatron::RestMemory;
using scheduler::galvatron::TimeAtSequence;

constexpr std::size_t kLeastLayerTimes = 3;  // for a quadratic fit
constexpr std::size_t kLeastRestTimes = 2;   // for a line
constexpr std::size_t kLeastSizes = 2;

// Takes the prefix off the text, if it is there.
bool skip(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// Takes a positive integer off the text.
std::optional<std::uint64_t> skip_number(std::string_view& text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || number == 0) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

std::optional<std::uint64_t> whole_number(std::string_view text) {
  const auto number = skip_number(text);
  return text.empty() ? number : std::nullopt;
}

class File {
 public:
  File(const std::filesystem::path& file, std::uint32_t devices)
      : reading_(file), devices_(devices) {}

  // The document's members; nullopt after an error.
  bool open() {
    const auto text = read_text(reading_.file(), kMaxJsonBytes);
    if (!text) return fail(text.error());
    auto document = parse_json(*text, reading_.file());
    if (!document) return fail(document.error());
    root_ = std::move(*document);
    reading_.found("", root_.position);
    return is_mapping(root_, "the profile");
  }

  void take_errors(Diagnostics& all) {
    for (Diagnostic& item : other_errors_.items) all.items.push_back(std::move(item));
    for (Diagnostic& item : reading_.take_diagnostics().items) all.items.push_back(std::move(item));
  }

 protected:
  [[nodiscard]] const YamlNode& root() const { return root_; }
  [[nodiscard]] std::uint32_t devices() const { return devices_; }

  void error(Position position, std::string message) {
    reading_.error(position, std::move(message));
  }

  bool is_mapping(const YamlNode& node, std::string_view path) {
    if (node.kind == YamlNode::Kind::kMapping) return true;
    error(node.position, fmt::format("{} must be an object", path));
    return false;
  }

  // The member's value if it is there once and an object; what is in it stands for `contents`.
  const YamlNode* object(const YamlNode& parent, std::string_view path, std::string_view key,
                         std::string_view contents) {
    const YamlNode* found = nullptr;
    for (const YamlMember& member : parent.members) {
      if (member.key != key) continue;
      if (found != nullptr) twice(member);
      found = &member.value;
    }
    if (found == nullptr) {
      error(parent.position, fmt::format("{}{}{} is missing; expected {} there", path,
                                         path.empty() ? "" : ".", proto::quoted(key), contents));
      return nullptr;
    }
    return is_mapping(*found, key) ? found : nullptr;
  }

  void twice(const YamlMember& member) {
    error(member.position, fmt::format("{} is given twice", proto::quoted(member.key)));
  }

  // A positive number.
  std::optional<double> number(const YamlMember& member, std::string_view path) {
    constexpr Real kPositive{.minimum = 0.0, .above_minimum = true};
    const auto whole = fmt::format("{}{}{}", path, path.empty() ? "" : ".", printable(member.key));
    reading_.found(whole, member.position);
    return kPositive.read(reading_, member.value, whole);
  }

  // The values of `parent` whose keys are degrees, of which 1 to the devices must be there.
  ByDegree degrees(const YamlNode& parent, std::string_view path) {
    ByDegree result;
    std::set<std::uint64_t> seen;
    for (const YamlMember& member : parent.members) {
      const auto degree = whole_number(member.key);
      if (!degree) continue;
      if (!seen.insert(*degree).second) twice(member);
      const auto value = number(member, path);
      if (value && *degree <= devices_) result[static_cast<std::uint32_t>(*degree)] = *value;
    }
    for (std::uint64_t degree = 1; degree <= devices_; degree *= 2) {
      if (seen.contains(degree)) continue;
      error(parent.position, fmt::format("{} lacks degree \"{}\"; expected every power of two up "
                                         "to the {} devices",
                                         path, degree, devices_));
    }
    return result;
  }

 private:
  bool fail(const Diagnostics& diagnostics) {
    other_errors_ = diagnostics;
    return false;
  }

  Reading reading_;
  std::uint32_t devices_;
  YamlNode root_;
  Diagnostics other_errors_;
};

class ComputationFile : public File {
 public:
  using File::File;

  void read(Profile& profile) {
    std::set<std::string_view> seen;
    for (const YamlMember& member : root().members) {
      std::string_view rest = member.key;
      if (!skip(rest, "layertype_")) continue;
      const bool of_layer = skip(rest, "0_");
      if (!of_layer && !skip(rest, "other_")) {
        error(member.position,
              fmt::format("{} is of a second layer type; expected layertype_0 and layertype_other: "
                          "models with layers of one type",
                          proto::quoted(member.key)));
        continue;
      }
      const auto batch = skip(rest, "bsz") ? skip_number(rest) : std::nullopt;
      const auto sequence = batch && skip(rest, "_seq") ? whole_number(rest) : std::nullopt;
      if (!sequence) {
        error(member.position, fmt::format("{} cannot be read; expected layertype_0_bsz1_seqN or "
                                           "layertype_other_bsz1_seqN",
                                           proto::quoted(member.key)));
      } else if (batch == 1u) {
        if (!seen.insert(member.key).second) twice(member);
        const double ms = number(member, "").value_or(1.0);
        (of_layer ? profile.layer_times : profile.rest_times).push_back({*sequence, ms});
      }
    }
    require("layertype_0_bsz1_seqN", profile.layer_times, kLeastLayerTimes);
    require("layertype_other_bsz1_seqN", profile.rest_times, kLeastRestTimes);
  }

 private:
  void require(std::string_view key, const std::vector<TimeAtSequence>& times, std::size_t least) {
    std::set<std::uint64_t> sequences;
    for (const TimeAtSequence& time : times) sequences.insert(time.sequence);
    if (sequences.size() >= least) return;
    error(root().position, fmt::format("{} is there for {} sequences; expected {} or more", key,
                                       sequences.size(), least));
  }
};

class MemoryFile : public File {
 public:
  using File::File;

  void read(Profile& profile) {
    for (const YamlMember& member : root().members) {
      if (member.key.starts_with("layertype_1")) {
        error(member.position,
              "a second layer type; expected layertype_0_sp alone: models with "
              "layers of one type");
      }
    }
    constexpr std::string_view kLayer = "layertype_0_sp";
    if (const auto* layer = object(root(), "", kLayer, "the layer's memory by sequence")) {
      for_sequences(*layer, kLayer,
                    [&](std::uint64_t sequence, const YamlNode& node, const std::string& path) {
                      profile.layer_memory[sequence] = layer_memory(node, path);
                      layer_sequences_.insert(sequence);
                    });
      if (layer->members.empty()) {
        error(layer->position, fmt::format("{} is empty; expected sequences", kLayer));
      }
    }
    read_rest("other_memory_pp_off_sp", [&](std::uint64_t sequence) -> RestMemory& {
      return profile.rest_memory[sequence].alone;
    });
    read_rest("other_memory_pp_on_first_sp", [&](std::uint64_t sequence) -> RestMemory& {
      return profile.rest_memory[sequence].first;
    });
    read_rest("other_memory_pp_on_last_sp", [&](std::uint64_t sequence) -> RestMemory& {
      return profile.rest_memory[sequence].last;
    });
  }

 private:
  template <class Body>
  void for_sequences(const YamlNode& parent, std::string_view key, const Body& body) {
    std::set<std::uint64_t> seen;
    for (const YamlMember& member : parent.members) {
      const auto sequence = whole_number(member.key);
      const auto path = fmt::format("{}.{}", key, printable(member.key));
      if (!sequence) {
        error(member.position, fmt::format("{} is no sequence; expected a number of tokens", path));
        continue;
      }
      if (!seen.insert(*sequence).second) twice(member);
      if (is_mapping(member.value, path)) body(*sequence, member.value, path);
    }
  }

  LayerMemory layer_memory(const YamlNode& node, const std::string& path) {
    LayerMemory result;
    result.parameters_mb = member_number(node, path, "parameter_size", "MB of parameters");
    constexpr std::string_view kActivation = "tp_activation_per_bsz_dict";
    if (const auto* activation = object(node, path, kActivation, "MB by degree")) {
      const auto below = fmt::format("{}.{}", path, kActivation);
      result.activation_mb = degrees(*activation, below);
      result.checkpoint_activation_mb =
          member_number(*activation, below, "checkpoint", "MB of a checkpointed layer");
    }
    return result;
  }

  double member_number(const YamlNode& parent, const std::string& path, std::string_view key,
                       std::string_view contents) {
    std::optional<double> result;
    bool there = false;
    for (const YamlMember& member : parent.members) {
      if (member.key != key) continue;
      if (there) twice(member);
      there = true;
      result = number(member, path);
    }
    if (!there) {
      error(parent.position,
            fmt::format("{} lacks {}; expected {} there", path, proto::quoted(key), contents));
    }
    return result.value_or(1.0);
  }

  template <class Target>
  void read_rest(std::string_view key, const Target& target) {
    const auto* node = object(root(), "", key, "the memory of embedding and head by sequence");
    if (node == nullptr) return;
    std::set<std::uint64_t> found;
    for_sequences(*node, key,
                  [&](std::uint64_t sequence, const YamlNode& at, const std::string& path) {
                    found.insert(sequence);
                    RestMemory& rest = target(sequence);
                    if (const auto* states = object(at, path, "model_states", "MB by degree")) {
                      rest.states_mb = degrees(*states, path + ".model_states");
                    }
                    if (const auto* activation = object(at, path, "activation", "MB by degree")) {
                      rest.activation_mb = degrees(*activation, path + ".activation");
                    }
                  });
    for (const std::uint64_t sequence : layer_sequences_) {
      if (found.contains(sequence)) continue;
      error(node->position,
            fmt::format("{} lacks sequence \"{}\", which layertype_0_sp has", key, sequence));
    }
  }

  std::set<std::uint64_t> layer_sequences_;
};

class HardwareFile : public File {
 public:
  using File::File;

  void read(Profile& profile) {
    if (const auto* node = object(root(), "", "allreduce", "bandwidths in GB/s")) {
      bandwidths(*node, "allreduce", "allreduce_size_", "_consec_1", devices(),
                 profile.all_reduce_gb_per_s);
      bandwidths(*node, "allreduce", "allreduce_size_", "_consec_0", devices() / 2,
                 profile.strided_all_reduce_gb_per_s);
    }
    if (const auto* node = object(root(), "", "p2p", "bandwidths in GB/s")) {
      bandwidths(*node, "p2p", "pp_size_", "", devices(), profile.point_to_point_gb_per_s);
    }
    if (const auto* node = object(root(), "", "overlap", "the slowdown by overlap")) {
      bool there = false;
      for (const YamlMember& member : node->members) {
        if (member.key != "overlap_coe") continue;
        if (there) twice(member);
        there = true;
        profile.overlap_slowdown = number(member, "overlap").value_or(1.0);
      }
      if (!there) error(node->position, "overlap lacks 'overlap_coe'; expected a slowdown there");
    }
    if (const auto* node = object(root(), "", "sp", "times of collectives in ms")) {
      times(*node, "allreduce_size_", profile.all_reduce_ms);
      times(*node, "all2all_size_", profile.all_to_all_ms);
    }
  }

 private:
  void bandwidths(const YamlNode& node, std::string_view path, std::string_view prefix,
                  std::string_view suffix, std::uint32_t most, ByDegree& result) {
    std::set<std::uint64_t> seen;
    for (const YamlMember& member : node.members) {
      std::string_view rest = member.key;
      const auto size = skip(rest, prefix) ? skip_number(rest) : std::nullopt;
      if (!size || rest != suffix) continue;
      if (!seen.insert(*size).second) twice(member);
      const auto value = number(member, path);
      if (value && *size <= devices()) result[static_cast<std::uint32_t>(*size)] = *value;
    }
    for (std::uint64_t size = 2; size <= most; size *= 2) {
      if (seen.contains(size)) continue;
      error(node.position, fmt::format("{} lacks '{}{}{}'; expected a bandwidth in GB/s, since "
                                       "there are {} devices",
                                       path, prefix, size, suffix, devices()));
    }
  }

  void times(const YamlNode& node, std::string_view prefix,
             std::map<std::uint32_t, MsBySize>& result) {
    std::set<std::string_view> seen;
    for (const YamlMember& member : node.members) {
      std::string_view rest = member.key;
      const auto size = skip(rest, prefix) ? skip_number(rest) : std::nullopt;
      const auto mb = size && skip(rest, "_") ? skip_number(rest) : std::nullopt;
      if (!mb || rest != "MB_time") continue;
      if (!seen.insert(member.key).second) twice(member);
      const double ms = number(member, "sp").value_or(1.0);
      if (*size <= devices()) result[static_cast<std::uint32_t>(*size)][*mb] = ms;
    }
    for (std::uint32_t size = 2; size <= devices(); size *= 2) {
      const auto found = result.find(size);
      const std::size_t count = found == result.end() ? 0 : found->second.size();
      if (count >= kLeastSizes) continue;
      error(node.position, fmt::format("sp has '{}{}_NMB_time' for {} sizes; expected {} or more, "
                                       "since there are {} devices",
                                       prefix, size, count, kLeastSizes, devices()));
    }
  }
};

template <class Kind>
void read_file(const std::filesystem::path& file, std::uint32_t devices, Profile& profile,
               Diagnostics& errors) {
  Kind reader(file, devices);
  if (reader.open()) reader.read(profile);
  reader.take_errors(errors);
}

}  // namespace

Checked<Profile> read_galvatron_profile(const std::filesystem::path& folder,
                                        std::uint32_t devices) {
  Profile profile;
  Diagnostics errors;
  read_file<ComputationFile>(folder / "computation_profile_sequence.json", devices, profile,
                             errors);
  read_file<MemoryFile>(folder / "memory_profile_sequence_sp.json", devices, profile, errors);
  read_file<HardwareFile>(folder / "hardware.json", devices, profile, errors);
  if (!errors.items.empty()) return errors;
  return profile;
}

}  // namespace longhaul::daemon
