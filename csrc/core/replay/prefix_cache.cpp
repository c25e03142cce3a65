// Cached blocks, by key and number, in the order in which they were last used.
#include "core/replay/prefix_cache.hpp"

namespace kvprof {

PrefixCache::PrefixCache(BlockPool& pool, std::size_t blocks_per_key)
    : pool_(pool),
      blocks_per_key_(blocks_per_key),
      spans_(1),
      blocks_(blocks_per_key, none),
      links_(pool.num_blocks()) {}

ArrayView<const BlockId> PrefixCache::find(std::uint64_t key) const {
  const auto found = found_.find(key);
  const std::size_t span = found == found_.end() ? 0 : found->second;
  return {blocks_.data() + span * blocks_per_key_, blocks_per_key_};
}

std::uint32_t PrefixCache::span_of(std::uint64_t key) {
  const auto [known, is_new] = found_.emplace(key, static_cast<std::uint32_t>(spans_.size()));
  if (!is_new) return known->second;
  if (unused_spans_.empty()) {
    spans_.push_back({key, 0});
    blocks_.resize(blocks_.size() + blocks_per_key_, none);
  } else {
    known->second = unused_spans_.back();
    unused_spans_.pop_back();
    spans_[known->second].key = key;
  }
  return known->second;
}

void PrefixCache::leave(std::uint32_t span) {
  if (--spans_[span].num_blocks > 0) return;
  found_.erase(spans_[span].key);
  unused_spans_.push_back(span);
}

void PrefixCache::insert(ArrayView<const BlockId> blocks, std::uint64_t key, std::size_t number) {
  const std::uint32_t span = span_of(key);
  ++spans_[span].num_blocks;  // it stays while its blocks change
  for (std::size_t i = 0; i < blocks.size; ++i) {
    const BlockId block = blocks[i];
    if (holds(block)) continue;
    BlockId& place = blocks_of(span)[number + i];
    if (place != none) {
      if (users(place) > 0) continue;
      forget(place);
    }
    place = block;
    ++spans_[span].num_blocks;
    links_[block].span = span;
    links_[block].number = static_cast<std::uint32_t>(number + i);
    pool_.share({&block, 1});
  }
  leave(span);
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
  Link& link = links_[unused];
  blocks_of(link.span)[link.number] = none;
  leave(link.span);
  link.span = 0;
  pool_.free({&unused, 1});
}

void PrefixCache::unlink(BlockId block) {
  const Link& link = links_[block];
  (link.earlier == none ? oldest_ : links_[link.earlier].later) = link.later;
  (link.later == none ? newest_ : links_[link.later].earlier) = link.earlier;
  --num_unused_;
}

void PrefixCache::append(BlockId block) {
  links_[block].earlier = newest_;
  links_[block].later = none;
  (newest_ == none ? oldest_ : links_[newest_].later) = block;
  newest_ = block;
  ++num_unused_;
}

}  // namespace kvprof
