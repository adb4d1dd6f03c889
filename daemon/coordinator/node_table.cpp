// Keeps the nodes in natural order of their names.
#include "daemon/coordinator/node_table.hpp"

#include "proto/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace longhaul::daemon {

namespace {

constexpr int kMaxDevices = 64;
constexpr std::size_t kMaxTextBytes = 1024;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_device_name(std::string_view name) {
  if (name == "cpu") return true;
  constexpr std::string_view kCuda = "cuda:";
  if (!name.starts_with(kCuda)) return false;
  name.remove_prefix(kCuda.size());
  return !name.empty() && name.size() <= 4 && std::ranges::all_of(name, is_digit);
}

// A run of digits without leading zeros at the start of the text.
std::string_view take_number(std::string_view& text) {
  while (text.size() > 1 && text[0] == '0' && is_digit(text[1])) text.remove_prefix(1);
  const auto end = std::ranges::find_if_not(text, is_digit);
  const auto number = text.substr(0, static_cast<std::size_t>(end - text.begin()));
  text.remove_prefix(number.size());
  return number;
}

}  // namespace

bool NaturalLess::operator()(const std::string& a, const std::string& b) const {
  std::string_view left = a;
  std::string_view right = b;
  while (!left.empty() && !right.empty()) {
    if (is_digit(left[0]) && is_digit(right[0])) {
      const auto m = take_number(left);
      const auto n = take_number(right);
      if (m.size() != n.size()) return m.size() < n.size();
      if (m != n) return m < n;
    } else {
      if (left[0] != right[0]) return left[0] < right[0];
      left.remove_prefix(1);
      right.remove_prefix(1);
    }
  }
  if (left.empty() != right.empty()) return left.empty();
  return a < b;  // alike but for leading zeros
}

proto::Result<void> check_node_info(const wire::NodeInfo& info) {
  if (auto checked = proto::check_name("node", info.name()); !checked) return checked.error();
  for (const auto* text : {&info.site(), &info.version(), &info.host(), &info.machine()}) {
    if (text->size() > kMaxTextBytes) {
      return proto::configuration_error(
          fmt::format("node {}: site, version, host or machine has over {} bytes",
                      proto::quoted(info.name()), kMaxTextBytes));
    }
  }
  if (info.devices_size() == 0 || info.devices_size() > kMaxDevices) {
    return proto::configuration_error(
        fmt::format("node {} reports {} devices: 1 to {} are allowed", proto::quoted(info.name()),
                    info.devices_size(), kMaxDevices));
  }
  std::set<std::string> names;
  for (const auto& device : info.devices()) {
    if (!is_device_name(device.name()) || !names.insert(device.name()).second ||
        device.description().size() > kMaxTextBytes) {
      return proto::configuration_error(
          fmt::format("node {} reports a device {}: each must be \"cpu\" or \"cuda:N\", once",
                      proto::quoted(info.name()), proto::quoted(device.name())));
    }
    if (!(device.cpu_share() >= 0.0 && device.cpu_share() <= 1.0)) {
      return proto::configuration_error(fmt::format("node {} reports a cpu_share of {}: 0 to 1",
                                                    proto::quoted(info.name()),
                                                    device.cpu_share()));
    }
  }
  return {};
}

void NodeTable::restore(const std::vector<wire::NodeStatus>& nodes, TimePoint now) {
  for (const auto& status : nodes) {
    Node& node = add(status.info().name());
    node.info = status.info();
    node.since_unix_ms = status.since_unix_ms();
    node.awaited = status.state() != wire::GONE;
    node.reason = node.awaited ? "not back yet since the coordinator restarted" : status.reason();
    node.last_heard = now;
  }
}

Node& NodeTable::add(const std::string& name) { return nodes_[name]; }

Node* NodeTable::find(const std::string& name) {
  const auto found = nodes_.find(name);
  return found == nodes_.end() ? nullptr : &found->second;
}

std::vector<std::string> NodeTable::silent_since(TimePoint deadline) const {
  std::vector<std::string> silent;
  for (const auto& [name, node] : nodes_) {
    if ((node.present || node.awaited) && node.last_heard < deadline) silent.push_back(name);
  }
  return silent;
}

std::vector<std::string> NodeTable::cut_off_since(TimePoint deadline) const {
  std::vector<std::string> cut_off;
  for (const auto& [name, node] : nodes_) {
    if (node.present && node.cut_off_since && *node.cut_off_since <= deadline) {
      cut_off.push_back(name);
    }
  }
  return cut_off;
}

void NodeTable::forgive(std::chrono::steady_clock::duration pause) {
  for (auto& [name, node] : nodes_) node.last_heard += pause;
}

std::vector<wire::NodeInfo> NodeTable::free_nodes() const {
  std::vector<wire::NodeInfo> free;
  for (const auto& [name, node] : nodes_) {
    if (node.present && node.workers.empty() && !node.measuring) free.push_back(node.info);
  }
  return free;
}

}  // namespace longhaul::daemon
