// The kernel of dropout masks against its formula, for sequences that end within what a thread
// makes, and for batches cut anywhere.
#include "compnode/execution/cuda/mask_kernel.hpp"
#include "compression/cuda/device_buffer.hpp"
#include "compression/random.hpp"
#include "tests/unit/cuda/orders.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

namespace longhaul::compnode {
namespace {

using compression::hash;
using compression::hash_key;
using compression::cuda::DeviceBuffer;
using compression::cuda::in_fours;

TEST_CASE("device: dropout masks are what their formula says") {
  compression::cuda::in_each_order([] {
    for (const std::uint32_t per_sequence : {1U, 3U, 16U, 50U, 4099U}) {
      for (const std::uint32_t sequences : {1U, 5U}) {
        CAPTURE(per_sequence);
        CAPTURE(sequences);
        const std::size_t elements = std::size_t{per_sequence} * sequences;
        DeviceBuffer<std::uint32_t> words;
        words.resize(in_fours((elements + 3) / 4));
        MaskTask task{.words = words.out(),
                      .elements = elements,
                      .per_sequence = per_sequence,
                      .key = 99,
                      .first_sequence = 7,
                      .threshold = 1U << 30};
        fill_mask_on_device(task);
        std::vector<std::uint32_t> found(words.size());
        words.download_to(found);
        bool same = true;
        for (std::size_t at = 0; at < elements; ++at) {
          const auto key = hash_key(99 ^ (7 + at / per_sequence));
          const auto place = static_cast<std::uint32_t>(at % per_sequence);
          const std::uint32_t expected = hash(key, place) >= 1U << 30 ? 1 : 0;
          same = same && (found[at / 4] >> 8 * (at % 4) & 0xffU) == expected;
        }
        CHECK(same);
      }
    }
  });
}

}  // namespace
}  // namespace longhaul::compnode
