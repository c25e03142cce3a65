// Cached blocks in the order in which they were last used.
#include "core/replay/prefix_cache.hpp"

namespace kvprof {

std::optional<BlockId> PrefixCache::find(std::uint64_t key) const {
  const auto found = found_.find(key);
  if (found == found_.end()) return std::nullopt;
  return found->second;
}

void PrefixCache::insert(BlockId block, std::uint64_t key) {
  if (holds(block) || !found_.emplace(key, block).second) return;
  links_[block].key = key;
  pool_.share({&block, 1});
}

void PrefixCache::use(BlockId block) {
  if (users(block) == 0) unlink(block);
  pool_.share({&block, 1});
}

void PrefixCache::drop(BlockId block) {
  pool_.free({&block, 1});
  if (users(block) == 0) append(block);
}

void PrefixCache::evict() {
  const BlockId block = oldest_;
  unlink(block);
  found_.erase(*links_[block].key);
  links_[block].key.reset();
  pool_.free({&block, 1});
}

void PrefixCache::unlink(BlockId block) {
  Link& link = links_[block];
  (link.earlier == none ? oldest_ : links_[link.earlier].later) = link.later;
  (link.later == none ? newest_ : links_[link.later].earlier) = link.earlier;
  link.earlier = link.later = none;
  --num_unused_;
}

void PrefixCache::append(BlockId block) {
  links_[block].earlier = newest_;
  (newest_ == none ? oldest_ : links_[newest_].later) = block;
  newest_ = block;
  ++num_unused_;
}

}  // namespace kvprof
