// Nodes and jobs as aligned tables for people, or as JSON for programs.
#pragma once

#include "proto/control.pb.h"

#include <cstdint>
#include <string>

namespace longhaul::daemon {

enum class TableFormat { kText, kJson };

struct TableOptions {
  TableFormat format = TableFormat::kText;
  std::uint64_t now_unix_ms = 0;  // for "3 min ago"; JSON has the times themselves
};

// Every result ends with a newline; JSON is one line. Text from peers is shown without control
// characters.
[[nodiscard]] std::string render_nodes(const wire::NodeList& nodes, const TableOptions& options);
[[nodiscard]] std::string render_node(const wire::NodeStatus& node, const TableOptions& options);
[[nodiscard]] std::string render_jobs(const wire::JobList& jobs, const TableOptions& options);
[[nodiscard]] std::string render_job(const wire::JobStatus& job, const TableOptions& options);

}  // namespace longhaul::daemon
