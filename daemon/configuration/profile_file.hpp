// A device's profile, as `longhaul probe --profile` writes it and deploy/schemas describes it.
#pragma once

#include "daemon/configuration/diagnostic.hpp"
#include "scheduler/device_profile.hpp"

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::daemon {

// The file's form; a profile has its operators by class.
struct ProfileFile {
  struct OperatorEntry {
    std::string operator_class;
    std::vector<scheduler::ProfilePoint> points;
  };

  std::string schema;
  std::string device;
  std::string torch;
  scheduler::DeviceProfile profile;
  std::vector<OperatorEntry> operators;
  std::vector<scheduler::CodecProfile> codecs;
};

// JSON; every error has its place in the file.
[[nodiscard]] Checked<scheduler::DeviceProfile> load_profile(const std::filesystem::path& file);
// The same of a text that somebody sent; `name` stands for the file in errors.
[[nodiscard]] Checked<scheduler::DeviceProfile> parse_profile(std::string_view text,
                                                              const std::string& name);

}  // namespace longhaul::daemon
