// Places and errors of a file that is being read.
#include "daemon/configuration/reading.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <tuple>
#include <utility>

namespace longhaul::daemon {
namespace {

// "a.b[1]" -> "a.b" -> "a" -> "".
std::string_view parent_path(std::string_view path) {
  const std::size_t cut = path.find_last_of(".[");
  return cut == std::string_view::npos ? std::string_view{} : path.substr(0, cut);
}

bool is_at_or_below(std::string_view path, std::string_view ancestor) {
  if (ancestor.empty() || path == ancestor) return true;
  return path.starts_with(ancestor) &&
         (path[ancestor.size()] == '.' || path[ancestor.size()] == '[');
}

}  // namespace

Reading::Reading(std::filesystem::path file)
    : file_(std::move(file)), folder_(std::filesystem::absolute(file_).parent_path()) {}

void Reading::found(const std::string& path, Position position) {
  positions_.insert_or_assign(path, position);
}

bool Reading::has(const std::string& path) const { return positions_.contains(path); }

Position Reading::position(std::string_view path) const {
  for (;; path = parent_path(path)) {
    if (const auto found = positions_.find(path); found != positions_.end()) return found->second;
    if (path.empty()) return {1, 1};
  }
}

void Reading::error(Position position, std::string message) {
  diagnostics_.push_back({file(), position, std::move(message)});
}

void Reading::error_at(const std::string& path, std::string message) {
  error(position(path), std::move(message));
  mark_wrong(path);
}

void Reading::mark_wrong(const std::string& path) { wrong_.push_back(path); }

bool Reading::is_good(std::string_view path) const {
  return std::none_of(wrong_.begin(), wrong_.end(), [&](const std::string& wrong) {
    return is_at_or_below(wrong, path) || is_at_or_below(path, wrong);
  });
}

std::filesystem::path Reading::resolve(std::string_view path) const {
  std::filesystem::path result(path);
  if (path == "~" || path.starts_with("~/")) {
    if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
      result = std::filesystem::path(home) / path.substr(std::min<std::size_t>(2, path.size()));
    }
  }
  result = (folder_ / result).lexically_normal();
  // "gpt2/" and "gpt2" are the same folder.
  return result.has_filename() || result == result.root_path() ? result : result.parent_path();
}

Diagnostics Reading::take_diagnostics() {
  const auto key = [](const Diagnostic& d) { return std::tie(d.position, d.message); };
  std::sort(diagnostics_.begin(), diagnostics_.end(),
            [&](const Diagnostic& a, const Diagnostic& b) { return key(a) < key(b); });
  diagnostics_.erase(std::unique(diagnostics_.begin(), diagnostics_.end()), diagnostics_.end());
  if (diagnostics_.size() > kMaxDiagnostics) {
    const std::size_t more = diagnostics_.size() - kMaxDiagnostics;
    diagnostics_.resize(kMaxDiagnostics);
    diagnostics_.push_back({file(), diagnostics_.back().position,
                            fmt::format("and {} more errors behind this place", more)});
  }
  return {std::exchange(diagnostics_, {})};
}

Checked<std::string> read_text(const std::filesystem::path& file, std::size_t max_bytes) {
  const auto fail = [&](std::string message) {
    return Diagnostics{{{file.string(), {}, std::move(message)}}};
  };
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored)) return fail("is a folder, not a file");
  errno = 0;
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return fail(fmt::format("cannot be read: {}", std::strerror(errno)));
  std::string text(max_bytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (stream.bad()) return fail(fmt::format("cannot be read: {}", std::strerror(errno)));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (text.size() > max_bytes) {
    return fail(fmt::format("larger than the {} bytes that such a file may have", max_bytes));
  }
  return text;
}

}  // namespace longhaul::daemon
