// What Galvatron's profiler writes, read as it is.
#pragma once

#include "daemon/configuration/diagnostic.hpp"
#include "scheduler/galvatron/profile.hpp"

#include <cstdint>
#include <filesystem>

namespace longhaul::daemon {

// From `folder`:
//   computation_profile_sequence.json  "layertype_0_bsz1_seqN", "layertype_other_bsz1_seqN": ms
//   memory_profile_sequence_sp.json    "layertype_0_sp": by sequence, "parameter_size" and
//                                      "tp_activation_per_bsz_dict" by degree and "checkpoint";
//                                      "other_memory_pp_off_sp", "..._on_first_sp",
//                                      "..._on_last_sp": by sequence, "model_states" and
//                                      "activation" by degree; all in MB
//   hardware.json                      "allreduce": "allreduce_size_N_consec_1" (neighbours) and
//                                      "_0", "p2p": "pp_size_N", both GB/s; "overlap":
//                                      "overlap_coe"; "sp": "allreduce_size_N_MMB_time" and
//                                      "all2all_size_N_MMB_time", ms
// Keys beside these are the profiler's own raw figures and are not read. Degrees are needed up to
// `devices`, a power of two, at every sequence. All errors of all files come at once: no JSON, a
// number that is not positive, a layer type, sequence, degree or size that is missing, given twice,
// or a second layer type, which the search does not know.
[[nodiscard]] Checked<scheduler::galvatron::Profile> read_galvatron_profile(
    const std::filesystem::path& folder, std::uint32_t devices);

}  // namespace longhaul::daemon
