#pragma once
#include <cstdint>

#include "core/array_view.hpp"

namespace kvprof {

/// Consecutive requests, in order of arrival; those of a later batch arrive later.
struct RequestBatch {
  ArrayView<const double> arrival_s;
  ArrayView<const std::int64_t> prompt_tokens;
  ArrayView<const std::int64_t> output_tokens;
  /// The prefix hashes of request `i` are `hashes[hash_offsets[i]:hash_offsets[i + 1]]`.
  ArrayView<const std::int64_t> hash_offsets;
  ArrayView<const std::uint64_t> hashes;
};

/// Tokens of a request at most: of its prompt and of its output, as many each.
constexpr std::int64_t most_request_tokens = std::int64_t{1} << 32;
constexpr std::int64_t longest_request_tokens = 2 * most_request_tokens;

/// @param earlier_s  when the last request before the batch arrived
/// @param end_s  when the clock ends
/// @throw std::invalid_argument when arrays differ in length, arrivals descend or are not finite,
/// or lengths are out of range
void validate(const RequestBatch& batch, double earlier_s, double end_s);

}  // namespace kvprof
