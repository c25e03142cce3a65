// Cached blocks in the order in which they were last used.
#include "core/replay/prefix_cache.hpp"

namespace kvprof {

std::optional<BlockId> PrefixCache::find(std::uint64_t key) const {
  const auto found = found_.find(key);
  if (found == found_.end()) return std::nullopt;
  return found->second;
}

void PrefixCache::insert(BlockId block, std::uint64_t key) {
  if (holds(block)) return;
  const auto [known, is_new] = found_.emplace(key, block);
  if (!is_new) {
    if (users(known->second) > 0) return;
    forget(known->second);
    found_.emplace(key, block);
  }
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

void PrefixCache::touch(BlockId block) {
  if (users(block) > 0) return;
  unlink(block);
  append(block);
}

void PrefixCache::forget(BlockId unused) {
  unlink(unused);
  found_.erase(*links_[unused].key);
  links_[unused].key.reset();
  pool_.free({&unused, 1});
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
