// Reads tokenizer.json, and refuses every setting that would give other ids than byte-level BPE.
#include "compnode/data/tokenizer_files.hpp"

#include "compnode/data/token_names.hpp"
#include "compnode/data/vocabulary.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <optional>
#include <unordered_map>

namespace longhaul::compnode {
namespace {

using Json = nlohmann::json;
using Problem = std::optional<proto::Error>;

const Json& member(const Json& object, const char* key) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

bool is_text(const Json& value, std::string_view text) {
  return value.is_string() && value.get_ref<const std::string&>() == text;
}

bool is_unset(const Json& value) {
  return value.is_null() || (value.is_boolean() && !value.get<bool>()) ||
         (value.is_string() && value.get_ref<const std::string&>().empty()) ||
         (value.is_number() && value.get<double>() == 0.0);
}

proto::Error refusal(std::string_view what) {
  return proto::configuration_error(
      fmt::format("{}; only byte-level BPE as of GPT-2 can be read", what));
}

// nullopt: the settings around the model change no id.
Problem check_pipeline(const Json& root) {
  if (!member(root, "normalizer").is_null()) return refusal("it has a normalizer");
  const Json& pre = member(root, "pre_tokenizer");
  if (!is_text(member(pre, "type"), "ByteLevel"))
    return refusal("its pre_tokenizer is not ByteLevel");
  if (!is_unset(member(pre, "add_prefix_space")))
    return refusal("its pre_tokenizer adds a prefix space");
  const Json& use_regex = member(pre, "use_regex");
  if (!use_regex.is_null() && use_regex != Json(true)) {
    return refusal("its pre_tokenizer does not use the regular expression");
  }
  const Json& post = member(root, "post_processor");
  if (!post.is_null() && !is_text(member(post, "type"), "ByteLevel")) {
    return refusal("its post_processor adds tokens");
  }
  const Json& decoder = member(root, "decoder");
  if (!decoder.is_null() && !is_text(member(decoder, "type"), "ByteLevel")) {
    return refusal("its decoder is not ByteLevel");
  }
  return std::nullopt;
}

Problem check_model(const Json& model) {
  const Json& type = member(model, "type");
  if (!type.is_null() && !is_text(type, "BPE")) return refusal("its model is not BPE");
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix",
                          "byte_fallback", "ignore_merges"}) {
    if (!is_unset(member(model, key))) return refusal(fmt::format("its model sets {}", key));
  }
  return std::nullopt;
}

Problem read_merges(const Json& merges, std::vector<NamedMerge>& out) {
  if (!merges.is_array()) return proto::configuration_error("model.merges is not a list");
  out.reserve(merges.size());
  for (const Json& entry : merges) {
    if (entry.is_string()) {
      auto merge = merge_from_line(entry.get_ref<const std::string&>());
      if (!merge) {
        return proto::with_context(fmt::format("model.merges[{}]", out.size()), merge.error());
      }
      out.push_back(std::move(*merge));
    } else if (entry.is_array() && entry.size() == 2 && entry[0].is_string() &&
               entry[1].is_string()) {
      out.push_back({entry[0].get<std::string>(), entry[1].get<std::string>()});
    } else {
      return proto::configuration_error(fmt::format(
          "model.merges[{}] is neither \"left right\" nor [\"left\", \"right\"]", out.size()));
    }
  }
  return std::nullopt;
}

// Special tokens that the model's vocabulary lacks are added to it.
Problem read_added_tokens(const Json& added, std::vector<NamedToken>& tokens) {
  if (added.is_null()) return std::nullopt;
  if (!added.is_array()) return proto::configuration_error("added_tokens is not a list");
  std::unordered_map<std::string, std::uint32_t> known;
  for (const NamedToken& token : tokens) known.emplace(token.name, token.id);
  for (const Json& entry : added) {
    const Json& content = member(entry, "content");
    const Json& id = member(entry, "id");
    if (!content.is_string() || !id.is_number_unsigned() ||
        id.get<std::uint64_t>() >= Vocabulary::kMostTokens) {
      return proto::configuration_error("an added token has no content or no valid id");
    }
    const auto& name = content.get_ref<const std::string&>();
    if (member(entry, "special") != Json(true)) {
      return refusal(
          fmt::format("added token \"{}\" is not special, so it would cut the text", name));
    }
    const auto [place, fresh] = known.emplace(name, id.get<std::uint32_t>());
    if (fresh) {
      tokens.push_back({name, place->second});
    } else if (place->second != id.get<std::uint32_t>()) {
      return proto::configuration_error(
          fmt::format("added token \"{}\" has id {}, and {} in the vocabulary", name,
                      id.get<std::uint32_t>(), place->second));
    }
  }
  return std::nullopt;
}

}  // namespace

proto::Result<TokenizerFiles> parse_tokenizer_json(std::string_view json) {
  const Json root = Json::parse(json, nullptr, false);
  if (!root.is_object()) return proto::configuration_error("it is not a JSON object");
  const Json& model = member(root, "model");
  if (Problem problem = check_model(model)) return *problem;
  if (Problem problem = check_pipeline(root)) return *problem;
  TokenizerFiles files;
  auto tokens = token_ids_from_json(member(model, "vocab"));
  if (!tokens) return tokens.error();
  files.tokens = std::move(*tokens);
  if (Problem problem = read_merges(member(model, "merges"), files.merges)) return *problem;
  if (Problem problem = read_added_tokens(member(root, "added_tokens"), files.tokens))
    return *problem;
  return files;
}

}  // namespace longhaul::compnode
