#pragma once
#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>

// The only place in C++ with retention arithmetic: tokens in, entries and blocks held out.
namespace kvprof {

/// Most tokens of a sequence, and the largest parameter of a retention: every sum below then fits
/// in 64 bits.
constexpr std::uint64_t max_tokens = std::uint64_t{1} << 40;

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

struct Retention {
  std::uint64_t rows_per_block = 1;
  std::uint64_t entry_tokens = 1;
  Keep keep = Keep::all;
  /// The window of `last`, the chunk of `chunk`, the modulus of `tail`; 0 otherwise.
  std::uint64_t keep_entries = 0;
  Clock clock = Clock::decoder;
};

/// How far a sequence has come.
struct Progress {
  std::uint64_t tokens = 0;
  std::uint64_t encoder_tokens = 0;
};

/// `count` consecutive blocks of a sequence, from its block number `first` on.
struct BlockRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

/// @throw std::invalid_argument when a parameter is out of range
inline void validate(const Retention& retention) {
  const auto check = [](const char* name, std::uint64_t value, std::uint64_t least,
                        std::uint64_t most) {
    if (value >= least && value <= most) return;
    throw std::invalid_argument(std::string(name) + " must be " + std::to_string(least) + " to " +
                                std::to_string(most) + ": got " + std::to_string(value));
  };
  check("rows_per_block", retention.rows_per_block, 1, max_tokens);
  check("entry_tokens", retention.entry_tokens, 1, max_tokens);
  if (retention.keep == Keep::all || retention.keep == Keep::once) {
    check("keep_entries of keep 'all' and 'once'", retention.keep_entries, 0, 0);
  } else {
    check("keep_entries of keep 'last', 'chunk' and 'tail'", retention.keep_entries, 1, max_tokens);
  }
}

/// Whether the group holds one state per sequence, overwritten in place.
inline bool is_state(const Retention& retention) {
  return retention.keep == Keep::once || retention.clock == Clock::sequence;
}

/// Entries produced so far, kept or not.
inline std::uint64_t entries_produced(const Retention& retention, const Progress& progress) {
  if (is_state(retention)) return progress.tokens > 0 ? 1 : 0;
  const bool encoder = retention.clock == Clock::encoder;
  return (encoder ? progress.encoder_tokens : progress.tokens) / retention.entry_tokens;
}

/// The newest entries, of `produced`, that are kept.
inline std::uint64_t entries_held(const Retention& retention, std::uint64_t produced) {
  switch (retention.keep) {
    case Keep::last:
      return std::min(produced, retention.keep_entries);
    case Keep::chunk:
      return produced == 0 ? 0 : (produced - 1) % retention.keep_entries + 1;
    case Keep::tail:
      return produced % retention.keep_entries;
    case Keep::all:
    case Keep::once:
      break;
  }
  return produced;
}

/// The blocks with at least one kept entry. Entry `i` lives in block `i / rows_per_block`, so a
/// window keeps a block that it has only partly left.
inline BlockRange blocks_held(const Retention& retention, const Progress& progress) {
  const std::uint64_t produced = entries_produced(retention, progress);
  const std::uint64_t held = entries_held(retention, produced);
  const std::uint64_t first = (produced - held) / retention.rows_per_block;
  if (held == 0) return {first, 0};
  return {first, (produced - 1) / retention.rows_per_block - first + 1};
}

/// Whether the last block held has free rows, or is a state: a fork must copy it.
inline bool last_block_is_open(const Retention& retention, const Progress& progress) {
  return is_state(retention) ||
         entries_produced(retention, progress) % retention.rows_per_block != 0;
}

}  // namespace kvprof
