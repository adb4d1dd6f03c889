// One file being read: where its values stand, and what is wrong with them.
#pragma once

#include "daemon/configuration/diagnostic.hpp"
#include "daemon/configuration/yaml_document.hpp"

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::daemon {

inline constexpr std::size_t kMaxDiagnostics = 100;

// Values are addressed by path: "training.optimizer.betas[1]"; "" is the whole file.
class Reading {
 public:
  // `file` as the user wrote it; relative paths in it are taken from its folder.
  explicit Reading(std::filesystem::path file);

  [[nodiscard]] std::string file() const { return file_.string(); }

  void found(const std::string& path, Position position);
  [[nodiscard]] bool has(const std::string& path) const;  // stands in the file
  // Of the value, else of the closest mapping around it that stands in the file.
  [[nodiscard]] Position position(std::string_view path) const;

  void error(Position position, std::string message);
  // At the value's position; the path then counts as wrong.
  void error_at(const std::string& path, std::string message);
  void mark_wrong(const std::string& path);
  // False if the value, a part of it or a mapping around it has an error: what depends on it cannot
  // be checked.
  [[nodiscard]] bool is_good(std::string_view path) const;

  // Absolute and normal; "~/" is the user's home.
  [[nodiscard]] std::filesystem::path resolve(std::string_view path) const;

  [[nodiscard]] bool failed() const { return !diagnostics_.empty(); }
  // Sorted, without repetitions, at most kMaxDiagnostics and how many more there are.
  [[nodiscard]] Diagnostics take_diagnostics();

 private:
  std::filesystem::path file_;
  std::filesystem::path folder_;
  std::map<std::string, Position, std::less<>> positions_;
  std::vector<std::string> wrong_;
  std::vector<Diagnostic> diagnostics_;
};

// The file's text, at most `max_bytes` of it; the error says what the system said.
[[nodiscard]] Checked<std::string> read_text(const std::filesystem::path& file,
                                             std::size_t max_bytes);

}  // namespace longhaul::daemon
