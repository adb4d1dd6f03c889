// Shapes around the job's own.
#include "daemon/planning/profile_request.hpp"

namespace longhaul::daemon {

wire::ProfileRequest profile_request(const wire::Job& job) {
  wire::ProfileRequest request;
  for (const std::uint32_t factor : {1u, 2u}) {
    request.add_batches(factor * job.training().micro_batch());
  }
  const std::uint32_t sequence = job.data().sequence_length();
  if (sequence > 1) request.add_sequences(sequence / 2);
  request.add_sequences(sequence);
  request.set_precision(job.training().precision());
  return request;
}

}  // namespace longhaul::daemon
