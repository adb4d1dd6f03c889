// Reads JSONL line by line, with the place of every mistake.
#include "compnode/data/documents.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace longhaul::compnode {
namespace {

proto::Error wrong_record(const RecordSource& source, std::size_t line, std::string_view what) {
  return proto::configuration_error(fmt::format("{}:{}: {}", source.name, line, what));
}

proto::Result<void> read_record(std::string_view record, const RecordSource& source,
                                std::size_t line, const DocumentSink& sink) {
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(record);
  } catch (const nlohmann::json::parse_error& error) {
    return proto::configuration_error(
        fmt::format("{}:{}:{}: the record is not JSON", source.name, line, error.byte));
  } catch (const nlohmann::json::exception&) {
    return wrong_record(source, line, "a number of the record is out of range");
  }
  if (!json.is_object()) return wrong_record(source, line, "the record is not a JSON object");
  const auto field = json.find(source.field);
  if (field == json.end()) {
    return wrong_record(source, line, fmt::format("the record has no field \"{}\"", source.field));
  }
  if (!field->is_string()) {
    return wrong_record(source, line,
                        fmt::format("the field \"{}\" is not a string", source.field));
  }
  return sink(field->get_ref<const std::string&>());
}

}  // namespace

proto::Result<SourceKind> source_kind(const std::filesystem::path& path) {
  if (path.extension() == ".txt") return SourceKind::kText;
  if (path.extension() == ".jsonl") return SourceKind::kRecords;
  if (path.extension() == ".bin") return SourceKind::kTokens;
  return proto::configuration_error(
      fmt::format("{}: training data must be .txt, .jsonl or .bin", path.string()));
}

proto::Result<void> read_records(std::string_view jsonl, const RecordSource& source,
                                 const DocumentSink& sink) {
  for (std::size_t line = 1; !jsonl.empty(); ++line) {
    const std::size_t end = std::min(jsonl.find('\n'), jsonl.size());
    const std::string_view record = jsonl.substr(0, end);
    jsonl.remove_prefix(std::min(end + 1, jsonl.size()));
    if (record.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (auto read = read_record(record, source, line, sink); !read) return read;
  }
  return {};
}

}  // namespace longhaul::compnode
