#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>

// Which rows of a cache a sequence needs, and until when that grows evenly with its tokens.
namespace kvprof {

/// Which of the entries produced so far are kept.
enum class Keep {
  all,
  last,   ///< the newest `keep_entries`
  chunk,  ///< those of the current chunk of `keep_entries`
  tail,   ///< those after the last multiple of `keep_entries`
  once,   ///< one entry, overwritten in place: a state
};

/// What produces entries.
enum class Clock {
  decoder,   ///< each token of the sequence
  encoder,   ///< each encoder position, all there from admission on
  sequence,  ///< the sequence itself: one entry from its first token on
};

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

/// Rows from `first` up to `end`, which is the number of rows made so far.
struct RowRange {
  std::int64_t first = 0;
  std::int64_t end = 0;
  std::int64_t size() const { return end > first ? end - first : 0; }
};

/// How long a sequence is, and will be.
struct Lengths {
  std::int64_t tokens = 0;
  std::int64_t encoder_tokens = 0;
};

/// Which entries of a cache are needed, and what one entry takes in all layers together.
struct CacheRule {
  Keep keep = Keep::all;
  std::int64_t keep_entries = 0;
  Clock clock = Clock::decoder;
  std::int64_t entry_tokens = 1;
  std::int64_t row_bytes = 0;
  /// A sequence of fewer tokens keeps none yet.
  std::int64_t begins_at = 0;
};

/// The rows that are needed (layout.py, held).
inline RowRange rows_needed(const CacheRule& rule, const Lengths& at) {
  if (at.tokens < rule.begins_at) return {};
  if (rule.keep == Keep::once) return {0, at.tokens >= 1 ? 1 : 0};
  const bool encoder = rule.clock == Clock::encoder;
  const std::int64_t made = (encoder ? at.encoder_tokens : at.tokens) / rule.entry_tokens;
  const std::int64_t n = rule.keep_entries;
  switch (rule.keep) {
    case Keep::last:
      return {std::max<std::int64_t>(0, made - n), made};
    case Keep::chunk:
      return {made > 0 ? (made - 1) / n * n : 0, made};
    case Keep::tail:
      return {made - made % n, made};
    case Keep::all:
    case Keep::once:
      break;
  }
  return {0, made};
}

/// The most rows that are needed on the way to that length.
inline std::int64_t most_rows(const CacheRule& rule, const Lengths& at) {
  if (rule.keep == Keep::once) return at.tokens >= 1 ? 1 : 0;
  const bool encoder = rule.clock == Clock::encoder;
  if (encoder) return rows_needed(rule, at).size();
  const std::int64_t made = at.tokens / rule.entry_tokens;
  if (at.tokens < rule.begins_at) return 0;
  if (rule.keep == Keep::all) return made;
  return std::min(made, rule.keep == Keep::tail ? rule.keep_entries - 1 : rule.keep_entries);
}

/// The smallest number above `tokens` that leaves `rest` when divided by `divisor`.
inline std::int64_t next_congruent(std::int64_t tokens, std::int64_t rest, std::int64_t divisor) {
  const std::int64_t over = (tokens - rest) % divisor;
  return tokens + divisor - (over < 0 ? over + divisor : over);
}

/// `point` when it is still to come.
inline std::int64_t if_ahead(std::int64_t tokens, std::int64_t point) {
  return point > tokens ? point : never;
}

/// A length above `tokens` up to which, itself excluded, the rows grow by the same number a token.
inline std::int64_t next_break(const CacheRule& rule, std::int64_t tokens) {
  if (tokens < rule.begins_at) return rule.begins_at;
  if (rule.keep == Keep::once) return tokens < 1 ? 1 : never;
  if (rule.clock == Clock::encoder) return never;
  if (rule.entry_tokens > 1) return next_congruent(tokens, 0, rule.entry_tokens);
  switch (rule.keep) {
    case Keep::last:
      return if_ahead(tokens, rule.keep_entries);
    case Keep::chunk:
      return next_congruent(tokens, 1, rule.keep_entries);
    case Keep::tail:
      return next_congruent(tokens, 0, rule.keep_entries);
    case Keep::all:
    case Keep::once:
      break;
  }
  return never;
}

}  // namespace kvprof
