// Block tables of live sequences. Every operation first plans over all groups, then commits.
#include "core/cache_allocator.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace kvprof {
namespace {

void check_tokens(const char* name, std::uint64_t tokens) {
  if (tokens <= max_tokens) return;
  throw std::invalid_argument(std::string(name) + " of a sequence must be 0 to " +
                              std::to_string(max_tokens) + ": got " + std::to_string(tokens));
}

// The room a commit will need, so that it cannot fail; grows as push_back would.
void reserve(std::vector<BlockId>& ids, std::uint64_t size) {
  if (size > ids.capacity()) ids.reserve(std::max<std::size_t>(size, 2 * ids.capacity()));
}

void check(const Progress& progress) {
  check_tokens("tokens", progress.tokens);
  check_tokens("encoder_tokens", progress.encoder_tokens);
}

Progress grown(const Progress& progress, std::uint64_t tokens) {
  check_tokens("tokens", tokens);
  return {progress.tokens + tokens, progress.encoder_tokens};
}

}  // namespace

void validate(const Group& group) {
  if (group.num_blocks > BlockPool::max_blocks) {
    throw std::invalid_argument("num_blocks must be 0 to " + std::to_string(BlockPool::max_blocks) +
                                ": got " + std::to_string(group.num_blocks));
  }
  validate(group.retention);
}

CacheAllocator::CacheAllocator(const std::vector<Group>& groups) : changes_(groups.size()) {
  for (const Group& group : groups) {
    validate(group);
    groups_.push_back(group.retention);
    pools_.emplace_back(group.num_blocks);
  }
}

// Ids only ever increase, so their order is that of admission.
std::vector<SequenceId> CacheAllocator::sequences() const {
  std::vector<SequenceId> ids;
  ids.reserve(sequences_.size());
  for (const auto& entry : sequences_) ids.push_back(entry.first);
  std::sort(ids.begin(), ids.end());
  return ids;
}

SequenceId CacheAllocator::admit(const Progress& progress) {
  Sequence fresh{{}, std::vector<BlockTable>(groups_.size())};
  if (const auto shortage = plan(fresh, progress)) throw OutOfBlocks(*shortage);
  auto& [id, sequence] = insert(std::move(fresh));
  commit(sequence, progress);
  return id;
}

std::optional<SequenceId> CacheAllocator::try_admit(const Progress& progress) {
  Sequence fresh{{}, std::vector<BlockTable>(groups_.size())};
  if (plan(fresh, progress)) return std::nullopt;
  auto& [id, sequence] = insert(std::move(fresh));
  commit(sequence, progress);
  return id;
}

void CacheAllocator::append(SequenceId id, std::uint64_t tokens) {
  Sequence& sequence = find(id);
  const Progress next = grown(sequence.progress, tokens);
  if (const auto shortage = plan(sequence, next)) throw OutOfBlocks(*shortage);
  commit(sequence, next);
}

bool CacheAllocator::try_append(SequenceId id, std::uint64_t tokens) {
  Sequence& sequence = find(id);
  const Progress next = grown(sequence.progress, tokens);
  if (plan(sequence, next)) return false;
  commit(sequence, next);
  return true;
}

SequenceId CacheAllocator::fork(SequenceId parent_id) {
  const Sequence& parent = find(parent_id);
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    if (copies_last_block(parent, group) && pools_[group].num_free() == 0) {
      throw OutOfBlocks({group, 1, 0});
    }
  }
  auto& [id, child] = insert(parent);
  reference_fork(child);
  return id;
}

void CacheAllocator::release(SequenceId id) {
  const Sequence& sequence = find(id);
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    const std::vector<BlockId>& ids = sequence.tables[group].ids;
    pools_[group].free({ids.data(), ids.size()});
  }
  sequences_.erase(id);
}

const Progress& CacheAllocator::progress(SequenceId sequence) const {
  return find(sequence).progress;
}

const BlockTable& CacheAllocator::block_table(SequenceId sequence, std::size_t group) const {
  check_group(group);
  return find(sequence).tables[group];
}

std::uint64_t CacheAllocator::num_blocks(std::size_t group) const {
  check_group(group);
  return pools_[group].num_blocks();
}

std::uint64_t CacheAllocator::num_free(std::size_t group) const {
  check_group(group);
  return pools_[group].num_free();
}

std::uint64_t CacheAllocator::blocks_needed(std::size_t group, const Progress& progress) const {
  check_group(group);
  check(progress);
  return blocks_held(groups_[group], progress).count;
}

bool CacheAllocator::fits_when_empty(const Progress& progress) const {
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    if (blocks_needed(group, progress) > pools_[group].num_blocks()) return false;
  }
  return true;
}

// Both ends of what is held only move forward, so a table loses at its front and gains at its end;
// one that holds nothing more (a chunk or tail just completed) loses all.
CacheAllocator::Change CacheAllocator::change_of(const Retention& retention,
                                                 const BlockTable& table, const Progress& next) {
  const BlockRange held = blocks_held(retention, next);
  const std::size_t old_count = table.ids.size();
  const std::uint64_t left = held.count == 0 ? old_count : held.first - table.first;
  const auto dropped = static_cast<std::size_t>(std::min<std::uint64_t>(left, old_count));
  return {held.first, dropped, held.count - (old_count - dropped)};
}

std::optional<Shortage> CacheAllocator::shortage_of(std::size_t group, const BlockTable& table,
                                                    const Change& change) const {
  const BlockPool& pool = pools_[group];
  if (change.added <= pool.num_free()) return std::nullopt;
  const auto last = table.ids.begin() + static_cast<std::ptrdiff_t>(change.dropped);
  const auto freed = static_cast<std::uint64_t>(std::count_if(
      table.ids.begin(), last, [&](BlockId id) { return pool.reference_count(id) == 1; }));
  if (change.added <= pool.num_free() + freed) return std::nullopt;
  return Shortage{group, change.added - freed, pool.num_free()};
}

std::optional<Shortage> CacheAllocator::plan(Sequence& sequence, const Progress& next) {
  check(next);
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    BlockTable& table = sequence.tables[group];
    const Change change = change_of(groups_[group], table, next);
    if (const auto shortage = shortage_of(group, table, change)) return shortage;
    reserve(table.ids, table.ids.size() - change.dropped + change.added);
    changes_[group] = change;
  }
  return std::nullopt;
}

void CacheAllocator::commit(Sequence& sequence, const Progress& next) {
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    BlockTable& table = sequence.tables[group];
    const Change& change = changes_[group];
    table.first = change.first;
    if (change.dropped != 0) {
      pools_[group].free({table.ids.data(), change.dropped});
      table.ids.erase(table.ids.begin(),
                      table.ids.begin() + static_cast<std::ptrdiff_t>(change.dropped));
    }
    if (change.added != 0) {
      const std::size_t kept = table.ids.size();
      table.ids.resize(kept + change.added);
      pools_[group].allocate({table.ids.data() + kept, change.added});
    }
  }
  sequence.progress = next;
}

bool CacheAllocator::copies_last_block(const Sequence& sequence, std::size_t group) const {
  return !sequence.tables[group].ids.empty() &&
         last_block_is_open(groups_[group], sequence.progress);
}

// The child starts as a copy of its parent's tables: take the references that it lists.
void CacheAllocator::reference_fork(Sequence& child) {
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    std::vector<BlockId>& ids = child.tables[group].ids;
    const std::size_t own = copies_last_block(child, group) ? 1 : 0;
    const std::size_t shared = ids.size() - own;
    pools_[group].share({ids.data(), shared});
    pools_[group].allocate({ids.data() + shared, own});
  }
}

std::pair<const SequenceId, CacheAllocator::Sequence>& CacheAllocator::insert(Sequence sequence) {
  auto& entry = *sequences_.emplace(next_id_, std::move(sequence)).first;
  ++next_id_;
  return entry;
}

CacheAllocator::Sequence& CacheAllocator::find(SequenceId sequence) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) throw UnknownSequence(sequence);
  return found->second;
}

const CacheAllocator::Sequence& CacheAllocator::find(SequenceId sequence) const {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) throw UnknownSequence(sequence);
  return found->second;
}

void CacheAllocator::check_group(std::size_t group) const {
  if (group < groups_.size()) return;
  throw std::out_of_range("no group " + std::to_string(group) + ": num_groups is " +
                          std::to_string(groups_.size()));
}

}  // namespace kvprof
