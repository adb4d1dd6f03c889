// The kernels for AVX2 and AVX-512, written once in Google Highway, and the choice at run time.
#include "compression/kernels.hpp"

#include <algorithm>
#include <atomic>
#include <bit>

// Highway includes this file once for each instruction set. Without other sets than these the
// lanes of a vector are 8 or 16 floats.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "compression/kernels.cpp"
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3

HWY_BEFORE_NAMESPACE();
namespace longhaul::compression::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Ints = hn::RebindToSigned<Floats>;
using Words = hn::RebindToUnsigned<Floats>;
using Doubles = hn::ScalableTag<double>;
using HalfFloats = hn::Rebind<float, Doubles>;
using V = hn::Vec<Floats>;

constexpr Floats kFloats;
constexpr Ints kInts;
constexpr Words kWords;
constexpr Doubles kDoubles;
constexpr std::size_t kWidth = HWY_LANES(float);
constexpr std::size_t kParts = kLanes / kWidth;  // vectors of floats in 16 lanes
constexpr std::size_t kDoubleParts = kLanes / (kWidth / 2);
static_assert(kParts == 1 || kParts == 2);

template <class D>
HWY_INLINE void sum_parts(hn::Vec<D>* parts, std::size_t count) {
  for (std::size_t width = count / 2; width > 0; width /= 2) {
    for (std::size_t j = 0; j < width; ++j) parts[j] = hn::Add(parts[j], parts[j + width]);
  }
}

// Halves of the lanes are added: j and j + 8, then 4, 2, 1, as kernels.hpp has it.
HWY_INLINE float sum_of_lanes(V* parts) {
  sum_parts<Floats>(parts, kParts);
  alignas(64) float lanes[kWidth];
  hn::Store(parts[0], kFloats, lanes);
  for (std::size_t width = kWidth / 2; width > 0; width /= 2) {
    for (std::size_t j = 0; j < width; ++j) lanes[j] += lanes[j + width];
  }
  return lanes[0];
}

HWY_INLINE double sum_of_double_lanes(hn::Vec<Doubles>* parts) {
  sum_parts<Doubles>(parts, kDoubleParts);
  alignas(64) double lanes[kWidth / 2];
  hn::Store(parts[0], kDoubles, lanes);
  for (std::size_t width = kWidth / 4; width > 0; width /= 2) {
    for (std::size_t j = 0; j < width; ++j) lanes[j] += lanes[j + width];
  }
  return lanes[0];
}

HWY_INLINE hn::Vec<Ints> magnitude_of(V values) {
  return hn::And(hn::BitCast(kInts, values),
                 hn::Set(kInts, static_cast<std::int32_t>(kMagnitudeMask)));
}

HWY_INLINE hn::Vec<Words> hash_of(const BlockOptions& options, hn::Vec<Words> counter) {
  auto x = hn::Add(counter, hn::Set(kWords, options.key.first));
  x = hn::Xor(x, hn::ShiftRight<16>(x));
  x = hn::Mul(x, hn::Set(kWords, kFirstMultiplier));
  x = hn::Xor(x, hn::ShiftRight<15>(x));
  x = hn::Xor(x, hn::Set(kWords, options.key.second));
  x = hn::Mul(x, hn::Set(kWords, kSecondMultiplier));
  return hn::Xor(x, hn::ShiftRight<15>(x));
}

// The butterfly of places that differ in bit h, inside one vector: `partner` holds for each lane
// the other one of its pair.
HWY_INLINE V butterfly(V values, V partner, std::uint32_t h) {
  const auto lower = hn::Eq(hn::And(hn::Iota(kWords, 0), hn::Set(kWords, h)), hn::Zero(kWords));
  const auto sign = hn::IfThenElseZero(hn::Not(lower), hn::Set(kWords, 0x80000000U));
  return hn::Add(partner, hn::Xor(values, hn::BitCast(kFloats, sign)));
}

HWY_INLINE void butterflies(float* values, std::size_t count) {
  for (std::size_t i = 0; i < count; i += kWidth) {
    V v = hn::LoadU(kFloats, values + i);
    v = butterfly(v, hn::Shuffle2301(v), 1);
    v = butterfly(v, hn::Shuffle1032(v), 2);
    v = butterfly(v, hn::SwapAdjacentBlocks(v), 4);
#if HWY_TARGET == HWY_AVX3
    v = butterfly(v, hn::SwapAdjacentBlocks(hn::ReverseBlocks(kFloats, v)), 8);
#endif
    hn::StoreU(v, kFloats, values + i);
  }
  for (std::size_t h = kWidth; h < count; h *= 2) {
    for (std::size_t i = 0; i < count; i += 2 * h) {
      for (std::size_t p = i; p < i + h; p += kWidth) {
        const V a = hn::LoadU(kFloats, values + p);
        const V b = hn::LoadU(kFloats, values + p + h);
        hn::StoreU(hn::Add(a, b), kFloats, values + p);
        hn::StoreU(hn::Sub(a, b), kFloats, values + p + h);
      }
    }
  }
  const V factor = hn::Set(kFloats, rotation_factor(count));
  for (std::size_t i = 0; i < count; i += kWidth) {
    hn::StoreU(hn::Mul(hn::LoadU(kFloats, values + i), factor), kFloats, values + i);
  }
}

HWY_INLINE V with_signs(V values, const std::uint32_t* signs) {
  return hn::BitCast(kFloats, hn::Xor(hn::BitCast(kWords, values), hn::LoadU(kWords, signs)));
}

// `count` is a multiple of 16.
HWY_INLINE std::uint32_t largest_magnitude(const float* values, std::size_t count) {
  auto a = hn::Zero(kInts);
  auto b = hn::Zero(kInts);
  for (std::size_t i = 0; i < count; i += kLanes) {
    a = hn::Max(a, magnitude_of(hn::LoadU(kFloats, values + i)));
    b = hn::Max(b, magnitude_of(hn::LoadU(kFloats, values + i + kLanes - kWidth)));
  }
  return static_cast<std::uint32_t>(hn::GetLane(hn::MaxOfLanes(kInts, hn::Max(a, b))));
}

HWY_INLINE std::uint16_t scale_of(std::uint32_t largest, int q) {
  if (largest < kTinyMagnitude) return 0;
  const float scale = std::bit_cast<float>(largest) / static_cast<float>(q);
  return static_cast<std::uint16_t>((std::bit_cast<std::uint32_t>(scale) + 0xffffU) >> 16);
}

template <bool kStochastic, class Code>
HWY_INLINE void round_block(const float* values, std::size_t count, const BlockOptions& options,
                            std::uint32_t counter, float scale, Code* codes, Sums& sums) {
  constexpr hn::Rebind<Code, Floats> kCodes;
  const V inverse = hn::Set(kFloats, 1.0F / scale);
  const V limit = hn::Set(kFloats, static_cast<float>(options.largest));
  V errors[kParts];
  V squares[kParts];
  for (std::size_t part = 0; part < kParts; ++part) {
    errors[part] = hn::Zero(kFloats);
    squares[part] = hn::Zero(kFloats);
  }
  for (std::size_t i = 0; i < count; i += kLanes) {
    for (std::size_t part = 0; part < kParts; ++part) {
      const std::size_t at = i + part * kWidth;
      const V y = hn::Mul(hn::LoadU(kFloats, values + at), inverse);
      hn::Vec<Ints> code;
      V q;
      if constexpr (kStochastic) {
        const auto random =
            hash_of(options, hn::Iota(kWords, counter + static_cast<std::uint32_t>(at)));
        const V u = hn::Mul(hn::ConvertTo(kFloats, hn::BitCast(kInts, hn::ShiftRight<8>(random))),
                            hn::Set(kFloats, 0x1p-24F));
        q = hn::Max(hn::Neg(limit), hn::Min(limit, hn::Floor(hn::Add(y, u))));
        code = hn::ConvertTo(kInts, q);
      } else {
        code = hn::NearestInt(y);
        q = hn::ConvertTo(kFloats, code);
      }
      hn::StoreU(hn::DemoteTo(kCodes, code), kCodes, codes + at);
      const V error = hn::Sub(y, q);
      errors[part] = hn::Add(errors[part], hn::Mul(error, error));
      squares[part] = hn::Add(squares[part], hn::Mul(y, y));
    }
  }
  const double unit = static_cast<double>(scale) * static_cast<double>(scale);
  sums.squared_error += static_cast<double>(sum_of_lanes(errors)) * unit;
  sums.squares += static_cast<double>(sum_of_lanes(squares)) * unit;
}

// `count` is a multiple of 16; false if the block holds a refused value.
template <class Code>
HWY_INLINE bool quantise_block(const float* values, std::size_t count, bool rotate,
                               const BlockOptions& options, std::uint32_t counter,
                               std::uint16_t& scale_bits, Code* codes, Sums& sums) {
  std::uint32_t largest = largest_magnitude(values, count);
  if (largest >= kRefusedMagnitude) return false;
  alignas(64) float rotated[kLongestBlock];
  if (rotate) {
    for (std::size_t i = 0; i < count; i += kWidth) {
      hn::Store(with_signs(hn::LoadU(kFloats, values + i), options.signs + i), kFloats,
                rotated + i);
    }
    butterflies(rotated, count);
    values = rotated;
    largest = largest_magnitude(values, count);
  }
  scale_bits = scale_of(largest, options.largest);
  if (scale_bits == 0) {
    std::fill_n(codes, count, Code{0});
    return true;
  }
  const float scale = std::bit_cast<float>(static_cast<std::uint32_t>(scale_bits) << 16);
  if (options.stochastic) {
    round_block<true>(values, count, options, counter, scale, codes, sums);
  } else {
    round_block<false>(values, count, options, counter, scale, codes, sums);
  }
  return true;
}

template <class Code>
std::size_t quantise(const float* values, std::size_t count, const BlockOptions& options,
                     std::uint16_t* scales, Code* codes, Sums& sums) {
  const std::size_t whole = count - count % options.block;
  for (std::size_t begin = 0; begin < whole; begin += options.block) {
    if (!quantise_block(values + begin, options.block, options.signs != nullptr, options,
                        options.counter + static_cast<std::uint32_t>(begin),
                        scales[begin / options.block], codes + begin, sums)) {
      return begin;
    }
  }
  if (whole == count) return count;
  // The short block at the end is filled up with zeros, which change no sum.
  alignas(64) float last[kLongestBlock] = {};
  Code last_codes[kLongestBlock];
  const std::size_t length = count - whole;
  std::copy_n(values + whole, length, last);
  const std::size_t padded = (length + kLanes - 1) / kLanes * kLanes;
  if (!quantise_block(last, padded, false, options,
                      options.counter + static_cast<std::uint32_t>(whole),
                      scales[whole / options.block], last_codes, sums)) {
    return whole;
  }
  std::copy_n(last_codes, length, codes + whole);
  return count;
}

template <class Code>
void dequantise(const std::uint16_t* scales, const Code* codes, std::size_t count,
                const BlockOptions& options, float* values) {
  constexpr hn::Rebind<Code, Floats> kCodes;
  for (std::size_t begin = 0; begin < count; begin += options.block) {
    const std::size_t length = std::min(options.block, count - begin);
    const float scale =
        std::bit_cast<float>(static_cast<std::uint32_t>(scales[begin / options.block]) << 16);
    std::size_t i = begin;
    for (; i + kWidth <= begin + length; i += kWidth) {
      const auto code = hn::PromoteTo(kInts, hn::LoadU(kCodes, codes + i));
      hn::StoreU(hn::Mul(hn::ConvertTo(kFloats, code), hn::Set(kFloats, scale)), kFloats,
                 values + i);
    }
    for (; i < begin + length; ++i) values[i] = static_cast<float>(codes[i]) * scale;
    if (options.signs == nullptr || length != options.block) continue;
    butterflies(values + begin, length);
    for (i = 0; i < length; i += kWidth) {
      const V v = hn::LoadU(kFloats, values + begin + i);
      hn::StoreU(with_signs(v, options.signs + i), kFloats, values + begin + i);
    }
  }
}

// Sixteen values from `values`: their squares into the double lanes.
HWY_INLINE void add_squares(const float* values, hn::Vec<Doubles>* lanes) {
  for (std::size_t part = 0; part < kDoubleParts; ++part) {
    const auto wide = hn::PromoteTo(kDoubles, hn::LoadU(HalfFloats(), values + part * kWidth / 2));
    lanes[part] = hn::Add(lanes[part], hn::Mul(wide, wide));
  }
}

std::uint32_t scan(const float* values, std::size_t count, double& squares) {
  hn::Vec<Doubles> lanes[kDoubleParts];
  for (auto& lane : lanes) lane = hn::Zero(kDoubles);
  auto largest = hn::Zero(kInts);
  const std::size_t whole = count - count % kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t part = 0; part < kParts; ++part) {
      largest = hn::Max(largest, magnitude_of(hn::LoadU(kFloats, values + i + part * kWidth)));
    }
    add_squares(values + i, lanes);
  }
  if (whole < count) {
    alignas(64) float last[kLanes] = {};
    std::copy_n(values + whole, count - whole, last);
    for (std::size_t part = 0; part < kParts; ++part) {
      largest = hn::Max(largest, magnitude_of(hn::Load(kFloats, last + part * kWidth)));
    }
    add_squares(last, lanes);
  }
  squares += sum_of_double_lanes(lanes);
  return static_cast<std::uint32_t>(hn::GetLane(hn::MaxOfLanes(kInts, largest)));
}

std::size_t count_at_least(const float* values, std::size_t count, std::uint32_t magnitude) {
  const auto below = hn::Set(kInts, static_cast<std::int32_t>(magnitude) - 1);
  std::size_t found = 0;
  std::size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    found += hn::CountTrue(kInts, hn::Gt(magnitude_of(hn::LoadU(kFloats, values + i)), below));
  }
  return found + scalar_kernels().count_at_least(values + i, count - i, magnitude);
}

std::size_t collect_at_least(const float* values, std::size_t count, std::uint32_t magnitude,
                             std::uint32_t first, std::uint32_t* out) {
  const auto below = hn::Set(kInts, static_cast<std::int32_t>(magnitude) - 1);
  std::size_t found = 0;
  std::size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    const auto mask = hn::Gt(magnitude_of(hn::LoadU(kFloats, values + i)), below);
    if (hn::AllFalse(kInts, mask)) continue;
    const auto at = hn::Iota(kWords, first + static_cast<std::uint32_t>(i));
    const auto kept = hn::RebindMask(kWords, mask);
    hn::StoreU(hn::Compress(at, kept), kWords, out + found);
    found += hn::CountTrue(kWords, kept);
  }
  return found + scalar_kernels().collect_at_least(values + i, count - i, magnitude,
                                                   first + static_cast<std::uint32_t>(i),
                                                   out + found);
}

std::size_t collect_kept(const float* values, std::size_t count, Threshold& threshold,
                         std::uint32_t first, std::uint32_t* out) {
  const auto level = hn::Set(kInts, static_cast<std::int32_t>(threshold.magnitude));
  std::size_t found = 0;
  std::size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    const auto magnitudes = magnitude_of(hn::LoadU(kFloats, values + i));
    auto mask = hn::Gt(magnitudes, level);
    const auto ties = hn::Eq(magnitudes, level);
    const std::size_t tie_count = hn::CountTrue(kInts, ties);
    const std::uint32_t at = first + static_cast<std::uint32_t>(i);
    if (tie_count > threshold.ties && threshold.ties > 0) {  // the last of them, once
      found += scalar_kernels().collect_kept(values + i, kWidth, threshold, at, out + found);
      continue;
    }
    if (threshold.ties > 0) {
      mask = hn::Or(mask, ties);
      threshold.ties -= tie_count;
    }
    const auto kept = hn::RebindMask(kWords, mask);
    hn::StoreU(hn::Compress(hn::Iota(kWords, at), kept), kWords, out + found);
    found += hn::CountTrue(kWords, kept);
  }
  return found + scalar_kernels().collect_kept(values + i, count - i, threshold,
                                               first + static_cast<std::uint32_t>(i), out + found);
}

}  // namespace

const Kernels& table() {
  static constexpr Kernels kTable{{quantise<std::int8_t>, dequantise<std::int8_t>},
                                  {quantise<std::int16_t>, dequantise<std::int16_t>},
                                  scan,
                                  count_at_least,
                                  collect_at_least,
                                  collect_kept};
  return kTable;
}

}  // namespace longhaul::compression::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // HWY_TARGET

#if HWY_ONCE
namespace longhaul::compression {
namespace {

const Kernels* widest() {
  for (const InstructionSet set : {InstructionSet::kAvx512, InstructionSet::kAvx2}) {
    if (const Kernels* found = kernels_for(set)) return found;
  }
  return &scalar_kernels();
}

std::atomic<const Kernels*>& in_use() {
  static std::atomic<const Kernels*> kernels{widest()};
  return kernels;
}

}  // namespace

const Kernels* kernels_for(InstructionSet set) {
  if (set == InstructionSet::kScalar) return &scalar_kernels();
#if HWY_TARGETS & HWY_AVX2
  const auto supported = hwy::SupportedTargets();
  if (set == InstructionSet::kAvx2 && (supported & HWY_AVX2) != 0) return &N_AVX2::table();
  if (set == InstructionSet::kAvx512 && (supported & HWY_AVX3) != 0) return &N_AVX3::table();
#endif
  return nullptr;
}

const Kernels& kernels() { return *in_use().load(std::memory_order_relaxed); }

void use_only(std::optional<InstructionSet> set) {
  const Kernels* wanted = set ? kernels_for(*set) : widest();
  in_use().store(wanted != nullptr ? wanted : &scalar_kernels(), std::memory_order_relaxed);
}

}  // namespace longhaul::compression
#endif  // HWY_ONCE
