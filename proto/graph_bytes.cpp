// Serialises a wire graph, deterministically.
#include "proto/graph_bytes.hpp"

#include "proto/assert.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/json_util.h>

namespace longhaul::proto {

std::string graph_json(const wire::Graph& graph) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(graph, &json, options);
  LONGHAUL_ASSERT(status.ok());
  return json;
}

std::string canonical_bytes(const wire::Graph& graph) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  const bool done = graph.SerializeToCodedStream(&coded);
  LONGHAUL_ASSERT(done);
  coded.Trim();
  return bytes;
}

}  // namespace longhaul::proto
