// `longhaul node`: the fleet as the coordinator sees it.
#include "daemon/cli/programs/commands.hpp"
#include "daemon/cli/programs/coordinator_client.hpp"
#include "daemon/cli/programs/exit_code.hpp"
#include "daemon/cli/tables.hpp"
#include "daemon/host/clock.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <string>

namespace longhaul::daemon {

namespace {

struct NodeOptions {
  std::string name;
  std::uint32_t ready = 0;
  std::uint32_t timeout_s = 60;
  bool json = false;
};

TableOptions table(bool json) {
  return {.format = json ? TableFormat::kJson : TableFormat::kText,
          .now_unix_ms = SystemClock().unix_ms()};
}

// Says what is waited for, unless nothing has to be.
proto::Result<void> announce_wait(const CommandLine& line, const NodeOptions& options) {
  wire::Envelope message;
  message.mutable_list_nodes();
  const auto now =
      ask_coordinator(line.config, std::move(message),
                      {.deadline = std::chrono::seconds(std::min(options.timeout_s, 5U))});
  if (!now && now.error().kind == proto::ErrorKind::kConfiguration) return now.error();
  if (!now) {
    print_error(kLonghaul, fmt::format("waiting up to {} s for {} ready nodes: {}",
                                       options.timeout_s, options.ready, now.error().message));
    return {};
  }
  const auto ready = std::ranges::count(now->node_list().nodes(), wire::READY,
                                        [](const auto& node) { return node.state(); });
  if (static_cast<std::uint64_t>(ready) < options.ready) {
    print_error(kLonghaul, fmt::format("waiting up to {} s until {} nodes are ready; now {} of {} "
                                       "are",
                                       options.timeout_s, options.ready, ready,
                                       now->node_list().nodes_size()));
  }
  return {};
}

int list(const CommandLine& line, const NodeOptions& options) {
  wire::Envelope message;
  message.mutable_list_nodes()->set_ready(options.ready);
  Patience patience;
  if (options.ready > 0) {
    const auto announced = announce_wait(line, options);
    if (!announced) return fail(kLonghaul, announced.error());
    patience = {.deadline = std::chrono::seconds(options.timeout_s), .for_connection = true};
  }
  const auto answer = ask_coordinator(line.config, std::move(message), patience);
  if (!answer) return fail(kLonghaul, answer.error());
  std::cout << render_nodes(answer->node_list(), table(options.json));
  return kDone;
}

int show(const CommandLine& line, const NodeOptions& options) {
  wire::Envelope message;
  message.mutable_show_node()->set_name(options.name);
  const auto answer = ask_coordinator(line.config, std::move(message));
  if (!answer) return fail(kLonghaul, answer.error());
  std::cout << render_node(answer->node_status(), table(options.json));
  return kDone;
}

}  // namespace

void add_node_commands(CommandLine& line) {
  auto* node = line.app.add_subcommand("node", "the nodes of a fleet");
  node->require_subcommand(1);
  auto options = std::make_shared<NodeOptions>();

  auto* list_command = node->add_subcommand("list", "all nodes, what they have and what they do");
  list_command->add_option("--ready", options->ready, "wait until this many nodes are ready");
  list_command->add_option("--timeout", options->timeout_s, "seconds to wait with --ready")
      ->capture_default_str();
  add_json_option(*list_command, options->json);
  list_command->callback(
      [&line, options] { line.action = [&line, options] { return list(line, *options); }; });

  auto* show_command = node->add_subcommand("show", "one node");
  show_command->add_option("name", options->name, "the node's name")->required();
  add_json_option(*show_command, options->json);
  show_command->callback(
      [&line, options] { line.action = [&line, options] { return show(line, *options); }; });
}

}  // namespace longhaul::daemon
