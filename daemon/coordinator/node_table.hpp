// The nodes that the coordinator knows: who is there, since when, and which workers each runs.
#pragma once

#include "daemon/coordinator/world.hpp"
#include "daemon/host/worker_id.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace longhaul::daemon {

struct Node {
  wire::NodeInfo info;
  bool present = false;  // registered, and not lost since
  // Not heard of yet since the coordinator started; it has the usual deadline.
  bool awaited = false;
  std::string reason;  // why it is not present
  std::uint64_t since_unix_ms = 0;
  TimePoint last_heard;
  // Since when its connection takes nothing; what it said before that may still be unread.
  std::optional<TimePoint> cut_off_since;
  proto::ControlPeer peer;     // meaningful while present
  std::set<WorkerId> workers;  // that run there, as far as is known
  bool measuring = false;      // a profile, which a worker beside it would falsify
};

// Checks what a node says of itself: name, host and version of sane length, at least one device,
// device names "cpu" or "cuda:N", no name twice. Errors are kConfiguration.
[[nodiscard]] proto::Result<void> check_node_info(const wire::NodeInfo& info);

// "node-2" comes before "node-10".
struct NaturalLess {
  bool operator()(const std::string& a, const std::string& b) const;
};

class NodeTable {
 public:
  // Nodes of an earlier life of the coordinator, awaited from `now` on.
  void restore(const std::vector<wire::NodeStatus>& nodes, TimePoint now);
  Node& add(const std::string& name);  // or the one that is there
  [[nodiscard]] Node* find(const std::string& name);
  [[nodiscard]] const std::map<std::string, Node, NaturalLess>& all() const { return nodes_; }

  // Present or awaited nodes that were last heard of before `deadline`.
  [[nodiscard]] std::vector<std::string> silent_since(TimePoint deadline) const;
  // Present nodes whose connection has taken nothing since `deadline` or longer.
  [[nodiscard]] std::vector<std::string> cut_off_since(TimePoint deadline) const;
  // Moves every deadline by the time that the coordinator itself stood still.
  void forgive(std::chrono::steady_clock::duration pause);
  // Nodes that could host a stage now, in natural order of their names.
  [[nodiscard]] std::vector<wire::NodeInfo> free_nodes() const;

 private:
  std::map<std::string, Node, NaturalLess> nodes_;
};

}  // namespace longhaul::daemon
