#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/replay/cache_rule.hpp"

// How long steps of decoding take, in ticks.
namespace kvprof {

/// Rows of a cache that a step of decoding reads or writes, in all layers together.
struct MoveRule {
  /// `row_bytes` are those moved for a row: of an update twice its own.
  CacheRule cache;
  /// Of the rows that are kept so many are read at most.
  std::int64_t most_rows = never;
  /// The row that a step has made is written, and no other moved.
  bool appends = false;

  /// @param at  lengths once the step is done
  std::int64_t bytes(const Lengths& at) const {
    if (appends) {
      const std::int64_t per_entry = cache.entry_tokens;
      const std::int64_t made = at.tokens / per_entry;
      return (made - std::max<std::int64_t>(0, at.tokens - 1) / per_entry) * cache.row_bytes;
    }
    return std::min(rows_needed(cache, at).size(), most_rows) * cache.row_bytes;
  }

  /// A length above `tokens` up to which, itself excluded, bytes grow by the same number a token.
  std::int64_t next_break(const Lengths& at) const {
    const std::int64_t per_entry = cache.entry_tokens;
    if (appends && at.tokens < 1) return 1;
    if (appends && per_entry == 1) return never;
    if (appends && at.tokens % per_entry == 0) return at.tokens + 1;
    if (appends) return next_congruent(at.tokens, 0, per_entry);
    const std::int64_t next = kvprof::next_break(cache, at.tokens);
    const std::int64_t rows = rows_needed(cache, at).size();
    return rows < most_rows && most_rows != never ? std::min(next, at.tokens + most_rows - rows)
                                                  : next;
  }
};

/// What one step of decoding moves for one sequence; a byte takes a tick.
struct StepTraffic {
  std::vector<MoveRule> moves;
  std::int64_t encoder_tokens = 0;

  /// Of the step after which the sequence has `tokens`.
  std::int64_t bytes(std::int64_t tokens) const {
    std::int64_t sum = 0;
    for (const MoveRule& move : moves) sum += move.bytes({tokens, encoder_tokens});
    return sum;
  }

  std::int64_t next_break(std::int64_t tokens) const {
    std::int64_t next = never;
    for (const MoveRule& move : moves) {
      next = std::min(next, move.next_break({tokens, encoder_tokens}));
    }
    return next;
  }
};

/// Steps that follow each other: the first takes `ticks`, each after it `slope` more.
struct Stretch {
  __extension__ using Wide = __int128;

  std::int64_t steps = 1;
  std::int64_t ticks = 1;
  std::int64_t slope = 0;

  Wide total() const { return of(steps); }

  /// Make it as short as takes it to `until` ticks or past them. @pre until > 0
  void shorten_to(std::int64_t until) {
    if (of(steps) <= until) return;
    std::int64_t low = 0;
    while (steps - low > 1) {
      const std::int64_t middle = low + (steps - low) / 2;
      (of(middle) < until ? low : steps) = middle;
    }
  }

 private:
  Wide of(std::int64_t n) const {
    const auto count = static_cast<Wide>(n);
    return count * ticks + count * (count - 1) / 2 * slope;
  }
};

}  // namespace kvprof
