// The tables of the other files read this one too.
#include "daemon/configuration/profile_file.hpp"

#include "daemon/configuration/tables.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

namespace longhaul::daemon {
namespace {

using scheduler::CodecProfile;
using scheduler::ProfilePoint;

using OperatorEntry = ProfileFile::OperatorEntry;

constexpr Real kSeconds{};
constexpr Real kPositive{.above_minimum = true};

const Table<ProfilePoint>& point_table() {
  static const Table<ProfilePoint> table{
      "What one micro-batch of a shape takes",
      {{"batch", kPositive, required, &ProfilePoint::batch, "sequences in the micro-batch"},
       {"sequence", kPositive, required, &ProfilePoint::sequence, "tokens in a sequence"},
       {"forward_s", kSeconds, required,
        [](ProfilePoint& point, double value) { point.time.forward_s = value; },
        "seconds of the forward"},
       {"input_gradient_s", kSeconds, required,
        [](ProfilePoint& point, double value) { point.time.input_gradient_s = value; },
        "seconds of the gradients of its inputs"},
       {"weight_gradient_s", kSeconds, required,
        [](ProfilePoint& point, double value) { point.time.weight_gradient_s = value; },
        "seconds of the gradients of its parameters"}}};
  return table;
}

const Table<OperatorEntry>& operator_table() {
  static const Table<OperatorEntry> table{
      "One class of operators, which all take the same time",
      {{"class", Text{}, required, &OperatorEntry::operator_class,
        "kind, extents and attributes: `linear 256->1024 bias`"},
       {"points", point_table(), required, &OperatorEntry::points, "at least one shape"}}};
  return table;
}

const Table<CodecProfile>& codec_table() {
  static const Table<CodecProfile> table{
      "One rung of the ladder on this host's processor",
      {{"rung", Text{}, required, &CodecProfile::rung, "as `compression/format.md` names it"},
       {"bits_per_entry", kSeconds, required, &CodecProfile::bits_per_entry,
        "bits on the wire for each entry of the tensor"},
       {"encode_s_per_entry", kSeconds, required, &CodecProfile::encode_s_per_entry,
        "seconds to encode an entry"},
       {"decode_s_per_entry", kSeconds, required, &CodecProfile::decode_s_per_entry,
        "seconds to decode one"}}};
  return table;
}

void check(Reading& reading, ProfileFile& file) {
  for (std::size_t i = 0; i < file.operators.size(); ++i) {
    OperatorEntry& entry = file.operators[i];
    const std::string path = fmt::format("operators[{}]", i);
    if (!reading.is_good(path)) continue;
    if (entry.points.empty()) {
      reading.error_at(path + ".points", path + ".points must have at least one point");
    }
    if (!file.profile.operators.emplace(entry.operator_class, std::move(entry.points)).second) {
      reading.error_at(path + ".class", fmt::format("{}.class is {} a second time", path,
                                                    proto::quoted(entry.operator_class)));
    }
  }
  file.profile.codecs = std::move(file.codecs);
}

}  // namespace

const Table<ProfileFile>& profile_table() {
  static const Table<ProfileFile> table{
      "Profile of a model on a device",
      {{"schema", Word{{"longhaul-profile/1"}}, required, &ProfileFile::schema,
        "the form of this file"},
       {"kind", Text{}, required,
        [](ProfileFile& file, std::string value) { file.profile.kind = std::move(value); },
        "the kind of device; devices of a fleet name it"},
       {"device", Text{}, otherwise("cpu"), &ProfileFile::device, "what was measured on"},
       {"threads", Integer{1, 4096}, otherwise("1"),
        [](ProfileFile& file, std::uint64_t value) {
          file.profile.threads = static_cast<std::uint32_t>(value);
        },
        "threads of a cpu device"},
       {"precision", Word{{"fp32", "bf16"}}, otherwise("fp32"),
        [](ProfileFile& file, std::string value) { file.profile.precision = std::move(value); },
        "of activations"},
       {"torch", Text{}, otherwise("unknown"), &ProfileFile::torch, "the version of LibTorch"},
       {"processors", Real{}, otherwise("0"),
        [](ProfileFile& file, double value) { file.profile.processors = value; },
        "of the host, which its devices share; 0: they do not"},
       {"side_by_side", ListOf<Real>{kPositive, 0, 4096, "a list"}, otherwise("[]"),
        [](ProfileFile& file, std::vector<double> value) {
          file.profile.side_by_side = std::move(value);
        },
        "the work that 1, 2, ... busy devices of a host get done, over that of one"},
       {"overlap_slowdown", Real{.minimum = 1.0}, otherwise("1"),
        [](ProfileFile& file, double value) { file.profile.overlap_slowdown = value; },
        "how many times as long computation takes while messages travel"},
       {"carry_s_per_byte", Real{}, otherwise("0"),
        [](ProfileFile& file, double value) { file.profile.carry_s_per_byte = value; },
        "seconds of a processor for each byte that a worker sends or receives"},
       {"update_s_per_parameter", kSeconds, required,
        [](ProfileFile& file, double value) { file.profile.update_s_per_parameter = value; },
        "seconds of the optimizer for each parameter"},
       {"operators", operator_table(), required, &ProfileFile::operators, "every class measured"},
       {"codecs", codec_table(), otherwise("[]"), &ProfileFile::codecs, "the ladder's rungs"}}};
  return table;
}

Checked<scheduler::DeviceProfile> load_profile(const std::filesystem::path& file) {
  auto loaded = load_file<ProfileFile>(file, profile_table(), check, kJsonFile);
  if (!loaded) return loaded.error();
  return std::move(loaded->profile);
}

Checked<scheduler::DeviceProfile> parse_profile(std::string_view text, const std::string& name) {
  auto parsed = parse_file<ProfileFile>(text, name, profile_table(), check, kJsonFile);
  if (!parsed) return parsed.error();
  return std::move(parsed->profile);
}

}  // namespace longhaul::daemon
