// Strong types for the small integers that must not be mixed up.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace longhaul::proto {

// An integer of type Value that converts to no other Id. Explicit in, `.value` out.
template <class Tag, class Value>
struct Id {
  Value value{};

  constexpr Id() = default;
  constexpr explicit Id(Value v) : value(v) {}
  constexpr auto operator<=>(const Id&) const = default;
};

using StageIndex = Id<struct StageTag, std::uint32_t>;          // place in the pipeline, from 0
using MicroBatchIndex = Id<struct MicroBatchTag, std::uint32_t>;  // in the step, from 0
using OperatorIndex = Id<struct OperatorTag, std::uint32_t>;    // in Graph::operators
using ParameterIndex = Id<struct ParameterTag, std::uint32_t>;  // in Graph::parameters
using ValueIndex = Id<struct ValueTag, std::uint32_t>;  // data inputs first, then operator outputs
using PlanEpoch = Id<struct PlanEpochTag, std::uint64_t>;

}  // namespace longhaul::proto

template <class Tag, class Value>
struct std::hash<longhaul::proto::Id<Tag, Value>> {
  std::size_t operator()(longhaul::proto::Id<Tag, Value> id) const noexcept {
    return std::hash<Value>{}(id.value);
  }
};
