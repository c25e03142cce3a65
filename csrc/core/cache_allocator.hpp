#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/block_pool.hpp"
#include "core/errors.hpp"
#include "core/retention.hpp"

namespace kvprof {

using SequenceId = std::int64_t;

/// What the allocator must know of one cache group.
struct Group {
  /// Blocks in the group's own pool.
  std::uint64_t num_blocks = 0;
  Retention retention;
};

/// @throw std::invalid_argument when a parameter is out of range
void validate(const Group& group);

/// The blocks that a sequence holds in one group.
struct BlockTable {
  /// Blocks of the sequence before the first one held.
  std::uint64_t first = 0;
  std::vector<BlockId> ids;
};

/// Block tables of live sequences over one block pool per cache group.
///
/// Blocks that have wholly left a window are freed as the sequence grows; an operation that both
/// frees and needs blocks may reuse its own. Every operation is all-or-nothing over the groups.
/// Ids of sequences increase from 0 and are never reused. Not thread-safe: callers serialise.
///
/// Members that take a sequence throw UnknownSequence, those that take a group throw
/// std::out_of_range, when there is no such one.
class CacheAllocator {
 public:
  /// @throw std::invalid_argument when a parameter of a group is out of range
  explicit CacheAllocator(const std::vector<Group>& groups);

  std::size_t num_groups() const noexcept { return groups_.size(); }

  /// Ids of the live sequences, in order of admission.
  std::vector<SequenceId> sequences() const;

  /// Hold the blocks of a new sequence.
  ///
  /// @throw OutOfBlocks when any group lacks blocks; no group has changed then
  /// @throw std::invalid_argument above `max_tokens`
  SequenceId admit(const Progress& progress);

  /// As admit, but nothing when blocks run out: an ordinary event in continuous batching.
  std::optional<SequenceId> try_admit(const Progress& progress);

  /// Grow a sequence by `tokens`; throws as admit does.
  void append(SequenceId sequence, std::uint64_t tokens);

  /// As append, but false when blocks run out.
  bool try_append(SequenceId sequence, std::uint64_t tokens);

  /// A new sequence sharing the full blocks of `sequence`. It gets its own block for a last one
  /// that is partly filled and for a state: both sequences will write there.
  ///
  /// @throw OutOfBlocks when any group lacks blocks; no group has changed then
  SequenceId fork(SequenceId sequence);

  /// Give up every block of a sequence, and the sequence.
  void release(SequenceId sequence);

  const Progress& progress(SequenceId sequence) const;
  const BlockTable& block_table(SequenceId sequence, std::size_t group) const;
  std::uint64_t num_blocks(std::size_t group) const;
  std::uint64_t num_free(std::size_t group) const;

  /// Blocks that a sequence holds in `group` at `progress`.
  std::uint64_t blocks_needed(std::size_t group, const Progress& progress) const;

  /// Whether a sequence at `progress` would fit if it were alone.
  bool fits_when_empty(const Progress& progress) const;

 private:
  struct Sequence {
    Progress progress;
    std::vector<BlockTable> tables;
  };

  /// What an operation does to a table.
  struct Change {
    std::uint64_t first = 0;
    std::size_t dropped = 0;  ///< blocks freed at its front
    std::uint64_t added = 0;  ///< blocks allocated at its end
  };

  static Change change_of(const Retention& retention, const BlockTable& table,
                          const Progress& next);
  std::optional<Shortage> shortage_of(std::size_t group, const BlockTable& table,
                                      const Change& change) const;

  /// Fill `changes_` with what takes `sequence` to `next`, or say what lacks. The tables change in
  /// capacity only: commit then cannot fail.
  std::optional<Shortage> plan(Sequence& sequence, const Progress& next);
  void commit(Sequence& sequence, const Progress& next);

  bool copies_last_block(const Sequence& sequence, std::size_t group) const;
  void reference_fork(Sequence& child);

  /// Give the sequence an id. Comes before its blocks are taken: it may be out of memory.
  std::pair<const SequenceId, Sequence>& insert(Sequence sequence);
  Sequence& find(SequenceId sequence);
  const Sequence& find(SequenceId sequence) const;
  void check_group(std::size_t group) const;

  std::vector<Retention> groups_;
  std::vector<BlockPool> pools_;
  std::unordered_map<SequenceId, Sequence> sequences_;
  /// The plan of the operation under way, one per group: kept, so that growing allocates nothing.
  std::vector<Change> changes_;
  SequenceId next_id_ = 0;
};

}  // namespace kvprof
