// A file of any kind, told apart by the keys it begins with.
#include "daemon/configuration/check.hpp"

#include "daemon/configuration/fleet_file.hpp"
#include "daemon/configuration/job_file.hpp"
#include "daemon/configuration/model_source.hpp"
#include "daemon/configuration/profile_file.hpp"
#include "daemon/configuration/site_files.hpp"
#include "daemon/configuration/tables.hpp"
#include "proto/assert.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace longhaul::daemon {
namespace {

// A graph is no YAML file with a table of keys: it has the keys of graph.proto.
constexpr std::array kKinds{FileKind::kJob,    FileKind::kCoordinator, FileKind::kNode,
                            FileKind::kClient, FileKind::kFleet,       FileKind::kProfile,
                            FileKind::kGraph};
constexpr std::size_t kTables = kKinds.size() - 1;

const MappingDescription& description(FileKind kind) {
  switch (kind) {
    case FileKind::kJob:
      return job_table();
    case FileKind::kCoordinator:
      return coordinator_table();
    case FileKind::kNode:
      return node_table();
    case FileKind::kClient:
      return client_table();
    case FileKind::kFleet:
      return fleet_table();
    case FileKind::kProfile:
      return profile_table();
    case FileKind::kGraph:
      break;
  }
  LONGHAUL_ASSERT(false);
}

// Of other kinds only a profile has operators, and it names its schema.
bool is_graph(const std::filesystem::path& file) {
  const auto text = read_text(file, kMaxGraphBytes);
  if (!text) return false;
  const auto document = nlohmann::json::parse(*text, nullptr, false);
  return document.is_object() && document.contains("operators") && !document.contains("schema");
}

// The kind that knows the most of the file's keys; of kinds alike, the one with the fewest keys
// that the file lacks, since every client's key is a node's too.
Checked<FileKind> detect_kind(const std::filesystem::path& file) {
  if (is_graph(file)) return FileKind::kGraph;
  const auto text = read_text(file, kMaxYamlBytes);
  if (!text) return text.error();
  const auto root = parse_yaml(*text, file.string());
  if (!root) return root.error();
  struct Score {
    std::size_t known = 0;
    std::size_t lacking = 0;
    FileKind kind{};
  };
  std::array<Score, kTables> scores;
  std::transform(kKinds.begin(), kKinds.begin() + kTables, scores.begin(), [&](FileKind kind) {
    const auto& keys = description(kind).keys;
    const auto in_file = [&](const KeyDescription& key) {
      return std::any_of(root->members.begin(), root->members.end(),
                         [&](const YamlMember& member) { return member.key == key.key; });
    };
    const auto known = static_cast<std::size_t>(std::count_if(keys.begin(), keys.end(), in_file));
    return Score{known, keys.size() - known, kind};
  });
  const auto better = [](const Score& a, const Score& b) {
    return a.known != b.known ? a.known > b.known : a.lacking < b.lacking;
  };
  std::sort(scores.begin(), scores.end(), better);
  if (scores[0].known > 0 && better(scores[0], scores[1])) return scores[0].kind;
  return Diagnostics{
      {{file.string(),
        {},
        "its keys do not tell what kind of file it is; give --kind job, coordinator, "
        "node, client, fleet, profile or graph"}}};
}

template <class T>
Diagnostics errors_of(const Checked<T>& loaded) {
  return loaded ? Diagnostics{} : loaded.error();
}

Diagnostics check_job_file(const std::filesystem::path& file) {
  const auto job = load_job(file);
  if (!job) return job.error();
  const auto graph = build_graph(*job);
  if (graph) return {};
  return {{{file.string(), {}, graph.error().message}}};
}

Diagnostics check_graph_file(const std::filesystem::path& file) {
  const auto checked = check_graph(file);
  if (checked) return {};
  return {{{file.string(), {}, checked.error().message}}};
}

}  // namespace

std::string_view file_kind_name(FileKind kind) {
  switch (kind) {
    case FileKind::kJob:
      return "job";
    case FileKind::kCoordinator:
      return "coordinator";
    case FileKind::kNode:
      return "node";
    case FileKind::kClient:
      return "client";
    case FileKind::kFleet:
      return "fleet";
    case FileKind::kProfile:
      return "profile";
    case FileKind::kGraph:
      return "graph";
  }
  LONGHAUL_ASSERT(false);
}

std::optional<FileKind> file_kind(std::string_view name) {
  for (const FileKind kind : kKinds) {
    if (name == file_kind_name(kind)) return kind;
  }
  return std::nullopt;
}

Checked<FileKind> check_file(const std::filesystem::path& file, std::optional<FileKind> kind) {
  if (!kind) {
    const auto detected = detect_kind(file);
    if (!detected) return detected.error();
    kind = *detected;
  }
  Diagnostics errors;
  switch (*kind) {
    case FileKind::kJob:
      errors = check_job_file(file);
      break;
    case FileKind::kCoordinator:
      errors = errors_of(load_coordinator_configuration(file));
      break;
    case FileKind::kNode:
      errors = errors_of(load_node_configuration(file));
      break;
    case FileKind::kClient:
      errors = errors_of(load_client_configuration(file));
      break;
    case FileKind::kFleet:
      errors = errors_of(load_fleet_configuration(file));
      break;
    case FileKind::kProfile:
      errors = errors_of(load_profile(file));
      break;
    case FileKind::kGraph:
      errors = check_graph_file(file);
      break;
  }
  if (!errors.items.empty()) return errors;
  return *kind;
}

}  // namespace longhaul::daemon
