// Reads the table of paths and reports every wrong row at its place.
#include "daemon/wan/network_file.hpp"

#include "daemon/configuration/printable.hpp"
#include "daemon/configuration/reading.hpp"
#include "daemon/configuration/rules.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace longhaul::daemon {

namespace {

constexpr std::size_t kMaxBytes = 1u << 20;

struct Column {
  std::string_view name;
  double minimum;
  double maximum;
};
constexpr double kLongestMs = 60'000.0;
constexpr Column kNumbers[] = {
    {"delay_ms", 0.0, kLongestMs},
    {"jitter_ms", 0.0, kLongestMs},
    {"bandwidth_gbps", 1e-6, 1000.0},
    {"bandwidth_mbps", 1e-3, 1e6},
    {"loss", 0.0, 1.0},
    {"queue_ms", 0.0, kLongestMs},
};
constexpr std::string_view kNames[] = {"site_a", "site_b", "from", "to"};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

struct Cell {
  std::string_view text;
  std::size_t column;  // counts from 1
};

std::vector<Cell> cells_of(std::string_view line) {
  std::vector<Cell> cells;
  for (std::size_t start = 0; start <= line.size();) {
    const auto end = std::min(line.find(',', start), line.size());
    cells.push_back({trimmed(line.substr(start, end - start)), start + 1});
    start = end + 1;
  }
  return cells;
}

std::chrono::nanoseconds milliseconds_of(double value) {
  return std::chrono::nanoseconds(std::llround(value * 1e6));
}

class Parser {
 public:
  explicit Parser(std::string file) : file_(std::move(file)) {}

  Checked<NetworkFile> parse(std::string_view text) {
    std::size_t number = 0;
    while (!text.empty()) {
      const auto end = std::min(text.find('\n'), text.size());
      const auto line = trimmed(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
      ++number;
      if (line.empty() || line.front() == '#') continue;
      if (header_.empty()) {
        if (!take_header(number, cells_of(line))) return std::move(errors_);
      } else {
        take_row(number, cells_of(line));
      }
    }
    if (header_.empty()) {
      error({},
            "this file is empty: its first line must name columns, as "
            "\"site_a,site_b,delay_ms,bandwidth_gbps\"");
    }
    if (!errors_.items.empty()) return std::move(errors_);
    return std::move(network_);
  }

 private:
  void error(Position position, std::string message) {
    if (errors_.items.size() < kMaxDiagnostics) {
      errors_.items.push_back({file_, position, std::move(message)});
    }
  }

  [[nodiscard]] bool has(std::string_view name) const {
    return std::ranges::find(header_, name) != header_.end();
  }

  bool take_header(std::size_t line, const std::vector<Cell>& cells) {
    for (const auto& [name, column] : cells) {
      const bool known = std::ranges::find(kNames, name) != std::end(kNames) ||
                         std::ranges::find(kNumbers, name, &Column::name) != std::end(kNumbers);
      if (!known) error({line, column}, fmt::format("unknown column {}", printable(name)));
      if (has(name)) error({line, column}, fmt::format("column {} occurs twice", printable(name)));
      header_.emplace_back(name);
    }
    const bool both = has("site_a") && has("site_b");
    const bool one = has("from") && has("to");
    const bool any_both = has("site_a") || has("site_b");
    const bool any_one = has("from") || has("to");
    if (both == one || any_both == any_one) {
      error({line, 1}, "the columns must have site_a and site_b, or else from and to");
    }
    if (has("bandwidth_gbps") == has("bandwidth_mbps")) {
      error({line, 1}, "the columns must have one of bandwidth_gbps and bandwidth_mbps");
    }
    if (!has("delay_ms")) error({line, 1}, "the columns must have delay_ms");
    both_ways_ = both;
    return errors_.items.empty();
  }

  // The cell's number; empty if the cell is, or is wrong.
  std::optional<double> number(std::size_t line, const Cell& cell, const Column& column) {
    double value = 0.0;
    const char* last = cell.text.data() + cell.text.size();
    const auto [end, failed] = std::from_chars(cell.text.data(), last, value);
    const bool fits =
        failed == std::errc{} && end == last && value >= column.minimum && value <= column.maximum;
    if (fits) return value;
    error({line, cell.column}, fmt::format("{} must be a number from {} to {}, not {}", column.name,
                                           column.minimum, column.maximum, printable(cell.text)));
    return std::nullopt;
  }

  void take_row(std::size_t line, const std::vector<Cell>& cells) {
    if (cells.size() != header_.size()) {
      error({line, 1},
            fmt::format("this row has {} values for {} columns", cells.size(), header_.size()));
      return;
    }
    const auto before = errors_.items.size();
    std::string ends[2];
    PathSettings path;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const auto& name = header_[i];
      const auto* column = std::ranges::find(kNumbers, std::string_view(name), &Column::name);
      if (column == std::end(kNumbers)) {
        ends[name == "site_b" || name == "to"] = cells[i].text;
        if (!is_name(cells[i].text)) {
          error({line, cells[i].column}, fmt::format("{} must be {}, not {}", name,
                                                     kName.describe(), printable(cells[i].text)));
        }
      } else if (const auto value = number(line, cells[i], *column)) {
        store(path, name, *value);
      }
    }
    if (errors_.items.size() != before) return;
    insert(line, ends[0], ends[1], path);
    if (both_ways_ && ends[0] != ends[1]) insert(line, ends[1], ends[0], path);
  }

  static void store(PathSettings& path, std::string_view name, double value) {
    auto& conditions = path.conditions;
    if (name == "delay_ms") conditions.delay = milliseconds_of(value);
    if (name == "jitter_ms") conditions.jitter = milliseconds_of(value);
    if (name == "bandwidth_gbps") conditions.rate_bits_per_s = value * 1e9;
    if (name == "bandwidth_mbps") conditions.rate_bits_per_s = value * 1e6;
    if (name == "loss") conditions.loss = value;
    if (name == "queue_ms") path.queue = milliseconds_of(value);
  }

  void insert(std::size_t line, const std::string& from, const std::string& to,
              const PathSettings& path) {
    if (network_.paths.emplace(std::pair(from, to), path).second) return;
    error({line, 1}, fmt::format("the path from {} to {} occurs twice", from, to));
  }

  std::string file_;
  std::vector<std::string> header_;
  bool both_ways_ = false;
  NetworkFile network_;
  Diagnostics errors_;
};

}  // namespace

std::set<std::string> NetworkFile::sites() const {
  std::set<std::string> names;
  for (const auto& [ends, path] : paths) names.insert({ends.first, ends.second});
  return names;
}

Checked<NetworkFile> parse_network(std::string_view text, const std::string& file) {
  return Parser(file).parse(text);
}

Checked<NetworkFile> load_network(const std::filesystem::path& file) {
  const auto text = read_text(file, kMaxBytes);
  if (!text) return text.error();
  return parse_network(*text, file.string());
}

PathConditions scaled(PathConditions conditions, const WanScale& scale) {
  const auto times = [&](std::chrono::nanoseconds duration) {
    return std::chrono::nanoseconds(
        std::llround(static_cast<double>(duration.count()) * scale.delay));
  };
  conditions.rate_bits_per_s *= scale.bandwidth;
  conditions.delay = times(conditions.delay);
  conditions.jitter = times(conditions.jitter);
  return conditions;
}

proto::Result<std::vector<PathSetup>> choose_paths(const NetworkFile& network,
                                                   const std::vector<std::string>& sites,
                                                   const WanScale& scale) {
  const auto known = network.sites();
  for (const auto& site : sites) {
    if (!known.contains(site)) {
      return proto::configuration_error(fmt::format("the network has no site {}: it has {}",
                                                    printable(site), fmt::join(known, ", ")));
    }
  }
  const auto find = [&](std::size_t from, std::size_t to) {
    return network.paths.find(std::pair(sites[from], sites[to]));
  };
  std::vector<PathSetup> chosen;
  for (std::size_t from = 0; from < sites.size(); ++from) {
    for (std::size_t to = 0; to < sites.size(); ++to) {
      if (from == to) continue;
      const auto path = find(from, to);
      const auto back = find(to, from);
      if (path == network.paths.end() || back == network.paths.end()) {
        const bool there = path != network.paths.end();
        return proto::configuration_error(
            fmt::format("the network has no path from {} to {}: add a row for it",
                        sites[there ? to : from], sites[there ? from : to]));
      }
      const auto conditions = scaled(path->second.conditions, scale);
      const auto round_trip = conditions.delay + scaled(back->second.conditions, scale).delay;
      const auto least = std::chrono::nanoseconds(kShortestQueue);
      chosen.push_back({.from = from,
                        .to = to,
                        .conditions = conditions,
                        .queue = path->second.queue.value_or(std::max(round_trip, least))});
    }
  }
  return chosen;
}

}  // namespace longhaul::daemon
