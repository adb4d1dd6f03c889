// `longhaul keys`: making key pairs, and the public half of one.
#include "daemon/cli/programs/commands.hpp"
#include "daemon/cli/programs/exit_code.hpp"
#include "proto/channel/curve_key.hpp"

#include <nlohmann/json.hpp>

#include <iostream>
#include <memory>

namespace longhaul::daemon {

namespace {

struct KeysOptions {
  std::filesystem::path file;
  bool json = false;
};

int print(const KeysOptions& options, const proto::CurveKeyPair& pair) {
  if (options.json) {
    std::cout << nlohmann::json{{"file", options.file.string()}, {"public_key", pair.public_key}}
                     .dump()
              << '\n';
  } else {
    std::cout << pair.public_key << '\n';
  }
  return kDone;
}

int make(const KeysOptions& options) {
  const auto pair = proto::make_curve_key_pair();
  if (const auto saved = proto::save_key_pair(options.file, pair); !saved) {
    return fail(kLonghaul, saved.error());
  }
  return print(options, pair);
}

int show(const KeysOptions& options) {
  const auto pair = proto::load_key_pair(options.file);
  return pair ? print(options, *pair) : fail(kLonghaul, pair.error());
}

}  // namespace

void add_keys_commands(CommandLine& line) {
  auto* keys = line.app.add_subcommand("keys", "key pairs, by which peers know each other");
  keys->require_subcommand(1);
  auto options = std::make_shared<KeysOptions>();
  using Action = int (*)(const KeysOptions&);
  const auto add = [&](const char* name, const char* description, Action action) {
    auto* command = keys->add_subcommand(name, description);
    command->add_option("file", options->file, "the key file")->required()->type_name("FILE");
    add_json_option(*command, options->json);
    command->callback([&line, options, action] {
      line.action = [options, action] { return action(*options); };
    });
  };
  add("new", "make a pair, write it to a new file, print the public key", make);
  add("show", "print the public key of a file", show);
}

}  // namespace longhaul::daemon
