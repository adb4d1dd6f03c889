// The documents of text and JSONL files.
#pragma once

#include "proto/error.hpp"

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace longhaul::compnode {

enum class SourceKind {
  kText,     // .txt: the whole file is a document
  kRecords,  // .jsonl: a document per line
  kTokens,   // .bin: token ids
};

// By the end of the name; kConfiguration for any other.
[[nodiscard]] proto::Result<SourceKind> source_kind(const std::filesystem::path& path);

// What takes a document; its text is valid during the call. An error of its own ends the reading.
using DocumentSink = std::function<proto::Result<void>(std::string_view text)>;

struct RecordSource {
  std::string name;   // of the file, for errors
  std::string field;  // whose string is the document
};

// Hands on the field of each line's JSON object; lines of blanks are skipped. Errors are
// kConfiguration and begin with file:line, as is that of a record that is not JSON or lacks the
// field.
[[nodiscard]] proto::Result<void> read_records(std::string_view jsonl, const RecordSource& source,
                                               const DocumentSink& sink);

}  // namespace longhaul::compnode
