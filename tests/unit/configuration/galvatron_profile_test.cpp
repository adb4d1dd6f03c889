// Claims about reading Galvatron's profiles, on the one of its own test suite with changes.
#include "daemon/configuration/galvatron_profile.hpp"

#include "tests/unit/configuration/temporary_folder.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace longhaul::daemon {
namespace {

using tests::TemporaryFolder;

const std::filesystem::path kSample = LONGHAUL_SOURCE_DIR "/tests/galvatron/profile";
constexpr std::string_view kComputation = "computation_profile_sequence.json";
constexpr std::string_view kMemory = "memory_profile_sequence_sp.json";
constexpr std::string_view kHardware = "hardware.json";

// A copy of the sample in which one piece of one file's text is another.
class Changed {
 public:
  Changed(std::string_view file, std::string_view from, std::string_view to) {
    for (const std::string_view name : {kComputation, kMemory, kHardware}) {
      std::string text = tests::read_file(kSample / name);
      if (name == file) {
        const std::size_t at = text.find(from);
        REQUIRE(at != std::string::npos);
        text.replace(at, from.size(), to);
      }
      folder_.write(name, text);
    }
  }

  [[nodiscard]] std::string errors(std::uint32_t devices = 8) const {
    const auto profile = read_galvatron_profile(folder_.path(), devices);
    return profile ? "" : folder_.shorten(to_string(profile.error()));
  }

 private:
  TemporaryFolder folder_;
};

TEST_CASE("galvatron profile: the sample, as it is") {
  const auto profile = read_galvatron_profile(kSample, 8).value();
  CHECK(profile.layer_times.size() == 8);
  CHECK(profile.layer_times.front().sequence == 4096);
  CHECK(profile.layer_times.front().ms == 12.4057201385498);
  CHECK(profile.rest_times.back().ms == 225.79444885253918);
  CHECK(profile.layer_memory.size() == 5);
  CHECK(profile.layer_memory.at(512).parameters_mb == 973.771484375);
  CHECK(profile.layer_memory.at(8192).activation_mb.at(8) == 261.03619384765625);
  CHECK(profile.layer_memory.at(8192).checkpoint_activation_mb == 56.0);
  CHECK(profile.rest_memory.at(8192).alone.states_mb.at(1) == 16768.54296875);
  CHECK(profile.rest_memory.at(8192).first.activation_mb.at(2) == 393.57415771484375);
  CHECK(profile.rest_memory.at(8192).last.activation_mb.at(8) == 634.1809844970703);
  CHECK(profile.all_reduce_gb_per_s.at(8) == 160.445);
  CHECK(profile.strided_all_reduce_gb_per_s.at(2) == 153.933);
  CHECK(profile.point_to_point_gb_per_s.at(8) == 108.616);
  CHECK(profile.overlap_slowdown == 1.1534195950157762);
  CHECK(profile.all_reduce_ms.at(8).at(1024) == 8.1409);
  CHECK(profile.all_to_all_ms.at(2).at(1) == 0.0709);
}

TEST_CASE("galvatron profile: fewer devices need fewer degrees") {
  const Changed changed(kHardware, "\"allreduce_size_8_consec_1\": 160.445,", "");
  CHECK(changed.errors(4).empty());
  CHECK(changed.errors(8) ==
        "$/hardware.json:2:15: allreduce lacks 'allreduce_size_8_consec_1'; expected a bandwidth "
        "in GB/s, since there are 8 devices");
}

TEST_CASE("galvatron profile: the profiler's raw figures are passed over") {
  CHECK(Changed(kComputation, "{", "{\"layernum[1]_bsz1_seq4096\": -1,").errors().empty());
  CHECK(Changed(kComputation, "{", "{\"layertype_0_bsz8_seq4096\": 3,").errors().empty());
  CHECK(Changed(kMemory, "{", "{\"1_1_8_sp\": {\"layernum[1]\": []},").errors().empty());
}

TEST_CASE("galvatron profile: numbers that are not positive are told with their place") {
  CHECK(Changed(kHardware, "133.469", "-133.469").errors() ==
        "$/hardware.json:11:16: p2p.pp_size_4 must be a number, more than 0, not '-133.469'");
  CHECK(Changed(kHardware, "1.1534195950157762", "\"fast\"").errors() ==
        "$/hardware.json:15:18: overlap.overlap_coe must be a number, more than 0, not the text "
        "'fast'");
  CHECK(Changed(kComputation, "12.4057201385498", "0").errors() ==
        "$/computation_profile_sequence.json:2:30: layertype_0_bsz1_seq4096 must be a number, more "
        "than 0, not '0'");
  CHECK(Changed(kMemory, "\"8\": 16.400634765625", "\"8\": null").errors() ==
        "$/memory_profile_sequence_sp.json:10:5: layertype_0_sp.512.tp_activation_per_bsz_dict.8 "
        "must be a number, more than 0, not empty");
}

TEST_CASE("galvatron profile: what is missing is told where it should stand") {
  CHECK(Changed(kMemory, "\"8\": 261.03619384765625", "\"16\": 261.0").errors() ==
        "$/memory_profile_sequence_sp.json:45:34: layertype_0_sp.8192.tp_activation_per_bsz_dict "
        "lacks degree \"8\"; expected every power of two up to the 8 devices");
  CHECK(Changed(kMemory, "\"checkpoint\": 3.5,", "").errors() ==
        "$/memory_profile_sequence_sp.json:5:34: layertype_0_sp.512.tp_activation_per_bsz_dict "
        "lacks 'checkpoint'; expected MB of a checkpointed layer there");
  CHECK(Changed(kMemory, "\"parameter_size\": 973.771484375,", "").errors() ==
        "$/memory_profile_sequence_sp.json:3:10: layertype_0_sp.512 lacks 'parameter_size'; "
        "expected MB of parameters there");
  CHECK(Changed(kMemory, "other_memory_pp_on_first_sp", "other").errors() ==
        "$/memory_profile_sequence_sp.json:1:1: 'other_memory_pp_on_first_sp' is missing; expected "
        "the memory of embedding and head by sequence there");
  CHECK(Changed(kHardware, "\"sp\": {", "\"ps\": {").errors() ==
        "$/hardware.json:1:1: 'sp' is missing; expected times of collectives in ms there");
  CHECK(Changed(kHardware, "overlap_coe", "overlap").errors() ==
        "$/hardware.json:14:13: overlap lacks 'overlap_coe'; expected a slowdown there");
  CHECK(Changed(kComputation, "layertype_0_bsz1_seq4096", "layertype_0_bsz1_seq").errors() ==
        "$/computation_profile_sequence.json:2:2: 'layertype_0_bsz1_seq' cannot be read; expected "
        "layertype_0_bsz1_seqN or layertype_other_bsz1_seqN");
}

TEST_CASE("galvatron profile: a layer's sequence without embedding and head") {
  std::string text = tests::read_file(kSample / kMemory);
  const std::size_t section = text.find("other_memory_pp_on_last_sp");
  text.replace(text.find("\"8192\"", section), 6, "\"16384\"");
  const TemporaryFolder folder;
  folder.write(kMemory, text);
  folder.write(kComputation, tests::read_file(kSample / kComputation));
  folder.write(kHardware, tests::read_file(kSample / kHardware));
  const auto profile = read_galvatron_profile(folder.path(), 8);
  REQUIRE(!profile.has_value());
  CHECK(folder.shorten(to_string(profile.error()))
            .ends_with("other_memory_pp_on_last_sp lacks sequence \"8192\", which layertype_0_sp "
                       "has"));
}

TEST_CASE("galvatron profile: too few sequences, none of the layer, a second layer type") {
  const TemporaryFolder folder;
  folder.write(kComputation, R"({
  "layertype_other_bsz1_seq1024": 1.5, "layertype_1_bsz1_seq1024": 2})");
  folder.write(kMemory, tests::read_file(kSample / kMemory));
  folder.write(kHardware, tests::read_file(kSample / kHardware));
  const auto profile = read_galvatron_profile(folder.path(), 8);
  REQUIRE(!profile.has_value());
  CHECK(folder.shorten(to_string(profile.error())) ==
        "$/computation_profile_sequence.json:1:1: layertype_0_bsz1_seqN is there for 0 sequences; "
        "expected 3 or more\n"
        "$/computation_profile_sequence.json:1:1: layertype_other_bsz1_seqN is there for 1 "
        "sequences; expected 2 or more\n"
        "$/computation_profile_sequence.json:2:40: 'layertype_1_bsz1_seq1024' is of a second layer "
        "type; expected layertype_0 and layertype_other: models with layers of one type");
}

TEST_CASE("galvatron profile: all errors of all files come at once") {
  const TemporaryFolder folder;
  folder.write(kMemory, "{\"layertype_0_sp\": {}, ");
  folder.write(kHardware, "[]");
  const auto profile = read_galvatron_profile(folder.path(), 8);
  REQUIRE(!profile.has_value());
  REQUIRE(profile.error().items.size() == 3);
  CHECK(folder.shorten(to_string(profile.error().items[0])) ==
        "$/computation_profile_sequence.json: cannot be read: No such file or directory");
  CHECK(profile.error().items[1].message.starts_with("not valid JSON: "));
  CHECK(profile.error().items[2].message == "the profile must be an object");
}

TEST_CASE("galvatron profile: what is given twice is refused") {
  CHECK(
      Changed(kHardware, "\"pp_size_2\": 147.32", "\"pp_size_2\": 1, \"pp_size_2\": 2").errors() ==
      "$/hardware.json:10:19: 'pp_size_2' is given twice");
  CHECK(Changed(kMemory, "\"1024\": {", "\"512\": {").errors().find("'512' is given twice") !=
        std::string::npos);
}

}  // namespace
}  // namespace longhaul::daemon
