// The rows, blocks and shares of one cache group: plan_group.py, in the same order.
#include "core/replay/group_plan.hpp"

#include <algorithm>

namespace kvprof {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

RowRange overlap(const RowRange& a, const RowRange& b) {
  return {std::max(a.first, b.first), std::min(a.end, b.end)};
}

bool keeps_all(const CacheRule& rule) {
  return rule.keep == Keep::all && rule.clock == Clock::decoder && rule.begins_at == 0;
}

}  // namespace

RowRange GroupPlan::rows(const Lengths& at) const {
  RowRange needed = rows_needed(rule, at);
  if (!holding.active) return needed;
  const std::int64_t made = needed.end;
  const std::int64_t n = rule.keep_entries;
  if (rule.keep == Keep::last && holding.window_step > 0) {
    const std::int64_t first = std::max<std::int64_t>(0, made - n - holding.retained_tokens);
    needed.first = first / holding.window_step * holding.window_step;
  } else if (rule.keep == Keep::last) {
    needed.first = std::max<std::int64_t>(0, made - n + 1 - holding.retained_tokens);
  } else if (rule.keep == Keep::chunk) {
    needed.first = made / n * n;
  }
  return needed;
}

std::int64_t GroupPlan::slots_end(const Lengths& at) const {
  if (rule.clock == Clock::encoder) return at.encoder_tokens;
  if (!holding.active || at.tokens == 0) return at.tokens;
  const std::int64_t ahead = at.tokens + holding.lookahead_tokens;
  return std::max(at.tokens, std::min(ahead, holding.longest_tokens));
}

Blocks GroupPlan::blocks(const Lengths& at) const {
  const RowRange held = rows(at);
  if (!holding.active) {
    if (held.size() == 0) return {};
    return {held.first * row_units / rows_per_block,
            ceil_div(held.end * row_units, rows_per_block)};
  }
  if (rule.keep == Keep::once) return {0, held.size() > 0 ? holding.state_blocks : 0};
  return {held.first * rule.entry_tokens / block_tokens, ceil_div(slots_end(at), block_tokens)};
}

void GroupPlan::add_shares(const Lengths& at, Shares& shares) const {
  const Blocks held = blocks(at);
  if (held.size() == 0) return;
  for (const PartPlan& part : parts) add_part(part, at, held, shares);
  shares[group_padding_share] += held.size() * filler_bytes;
}

void GroupPlan::add_part(const PartPlan& part, const Lengths& at, const Blocks& held,
                         Shares& shares) const {
  const std::int64_t bytes = part.cache.row_bytes;
  shares[padding_share] += held.size() * part.padding_bytes;
  if (part.ring_rows > 0) {
    add_ring(part, at, held, shares);
    return;
  }
  if (rule.keep == Keep::once && row_units == 1) {
    shares[convention_share] += bytes;
    shares[lookahead_share] += (held.size() - 1) * bytes;
    return;
  }
  const std::int64_t per_entry = part.cache.entry_tokens;
  const RowRange needed = rows_needed(part.cache, at);
  const std::int64_t first = rows(at).first * rule.entry_tokens / per_entry;
  const std::int64_t start = std::max(needed.first, first) * row_units;
  const std::int64_t stop = needed.end * row_units;
  const std::int64_t end = held.end * part.rows_per_block;
  const std::int64_t slots = slots_end(at) / per_entry;
  const std::int64_t ahead =
      row_units > 1 ? 0 : std::max<std::int64_t>(0, std::min(slots, end) - stop);
  const std::int64_t unfilled = end - stop - ahead;
  std::int64_t tail = unfilled;
  if (part.base_rows > 0) {
    const std::int64_t over = (stop + ahead) % part.base_rows;
    tail = std::min(unfilled, over == 0 ? 0 : part.base_rows - over);
  }
  shares[convention_share] += std::max<std::int64_t>(0, stop - start) * bytes;
  shares[window_slack_share] += (start - held.first * part.rows_per_block) * bytes;
  shares[lookahead_share] += ahead * bytes;
  shares[tail_share] += tail * bytes;
  shares[state_alignment_share] += (unfilled - tail) * bytes;
}

// What the tokens of a block have written is needed or outdated.
void GroupPlan::add_ring(const PartPlan& part, const Lengths& at, const Blocks& held,
                         Shares& shares) const {
  std::int64_t written = 0;
  std::int64_t block = held.end;
  for (; block > held.first; --block) {
    const std::int64_t span = at.tokens - (block - 1) * block_tokens;
    if (span >= part.ring_rows) break;  // and so have all before it
    written += std::max<std::int64_t>(0, span);
  }
  written += (block - held.first) * part.ring_rows;
  const std::int64_t kept = rows_needed(part.cache, at).size();
  shares[convention_share] += kept * part.cache.row_bytes;
  shares[window_slack_share] += (written - kept) * part.cache.row_bytes;
  shares[tail_share] += (held.size() * part.ring_rows - written) * part.cache.row_bytes;
}

void GroupPlan::add_full_blocks(const Lengths& at, const Blocks& blocks, Shares& shares) const {
  for (const PartPlan& part : parts) add_full_part(part, at, blocks, shares);
  shares[group_padding_share] += blocks.size() * filler_bytes;
  for (const CacheRule& cache : logical) {
    const RowRange range{blocks.first * block_tokens / cache.entry_tokens,
                         blocks.end * block_tokens / cache.entry_tokens};
    const std::int64_t bytes = overlap(rows_needed(cache, at), range).size() * cache.row_bytes;
    shares[logical_share] += bytes;
    shares[convention_share] -= bytes;
  }
}

void GroupPlan::add_full_part(const PartPlan& part, const Lengths& at, const Blocks& blocks,
                              Shares& shares) const {
  const std::int64_t bytes = part.cache.row_bytes;
  shares[padding_share] += blocks.size() * part.padding_bytes;
  RowRange needed = rows_needed(part.cache, at);
  if (part.ring_rows > 0) {
    const RowRange tokens{blocks.first * block_tokens, blocks.end * block_tokens};
    const std::int64_t kept = overlap(needed, tokens).size();
    shares[convention_share] += kept * bytes;
    shares[window_slack_share] += (blocks.size() * part.ring_rows - kept) * bytes;
    return;
  }
  const RowRange range{blocks.first * part.rows_per_block, blocks.end * part.rows_per_block};
  needed.first =
      std::max(needed.first, rows(at).first * rule.entry_tokens / part.cache.entry_tokens);
  const std::int64_t kept = overlap(needed, range).size();
  const std::int64_t before = overlap({range.first, needed.first}, range).size();
  shares[convention_share] += kept * bytes;
  shares[window_slack_share] += before * bytes;
  shares[tail_share] += (range.size() - kept - before) * bytes;
}

bool GroupPlan::is_even() const {
  return keeps_all(rule) && std::all_of(logical.begin(), logical.end(), keeps_all) &&
         std::all_of(parts.begin(), parts.end(), [](const PartPlan& part) {
           return part.ring_rows == 0 && keeps_all(part.cache);
         });
}

// Serving engines free what the next token will not see, and ask no more of a prefix:
// vLLM, single_type_kv_cache_manager.py (find_longest_cache_hit); SGLang, components/swa.py.
Blocks GroupPlan::reused(std::int64_t tokens) const {
  const std::int64_t end = tokens / block_tokens;
  const std::int64_t span = rule.keep_entries * rule.entry_tokens;
  switch (rule.keep) {
    case Keep::all:
      return {0, end};
    case Keep::last:
      return {std::max<std::int64_t>(0, tokens - span + rule.entry_tokens) / block_tokens, end};
    case Keep::chunk:
      return {tokens / span * span / block_tokens, end};
    case Keep::tail:
    case Keep::once:
      break;
  }
  return {end, end};
}

bool GroupPlan::is_uneven() const {
  const bool has_ring = std::any_of(parts.begin(), parts.end(),
                                    [](const PartPlan& part) { return part.ring_rows > 0; });
  if (has_ring) return true;
  return rule.keep != Keep::all &&
         std::any_of(parts.begin(), parts.end(), [this](const PartPlan& part) {
           return part.cache.entry_tokens > 1 || rule.entry_tokens > 1;
         });
}

std::int64_t GroupPlan::next_break(std::int64_t tokens) const {
  if (tokens == 0) return 1;
  if (rule.keep == Keep::once) return never;
  if (rule.clock == Clock::encoder) return never;
  if (is_uneven()) return tokens + 1;
  std::int64_t next = kvprof::next_break(rule, tokens);
  for (const PartPlan& part : parts) next = std::min(next, kvprof::next_break(part.cache, tokens));
  return std::min(next, holding.active ? next_held_break(tokens) : next_needed_break(tokens));
}

std::int64_t GroupPlan::next_held_break(std::int64_t tokens) const {
  const std::int64_t ahead = holding.lookahead_tokens;
  const std::int64_t n = rule.keep_entries;
  std::int64_t next = std::min(next_congruent(tokens, 1, block_tokens),
                               next_congruent(tokens, 1 - ahead, block_tokens));
  for (const std::int64_t point :
       {holding.longest_tokens - ahead, holding.longest_tokens}) {  // where slots end
    next = std::min({next, if_ahead(tokens, point), if_ahead(tokens, point + 1)});
  }
  if (rule.keep == Keep::last) {
    const std::int64_t outside = n - 1 + holding.retained_tokens;
    next = std::min({next, if_ahead(tokens, outside), if_ahead(tokens, outside + 1),
                     if_ahead(tokens, n + 1), if_ahead(tokens, outside + 2),
                     next_congruent(tokens, outside, block_tokens)});
    if (holding.window_step > 0) {
      next =
          std::min(next, next_congruent(tokens, n + holding.retained_tokens, holding.window_step));
    }
  }
  if (rule.keep == Keep::chunk) next = std::min(next, next_congruent(tokens, 0, n));
  for (const PartPlan& part : parts) {
    if (part.cache.entry_tokens > 1) {
      next = std::min(next, next_congruent(tokens, -ahead, part.cache.entry_tokens));
    }
    if (part.base_rows > 0) {
      const std::int64_t base = part.base_rows * part.cache.entry_tokens;
      next = std::min(
          {next, next_congruent(tokens, -ahead, base), next_congruent(tokens, 1 - ahead, base)});
    }
  }
  return next;
}

// Of rows of one token, or of all rows: what leaves and what begins a block.
std::int64_t GroupPlan::next_needed_break(std::int64_t tokens) const {
  if (rule.entry_tokens > 1) return kvprof::next_break(rule, tokens);
  const std::int64_t ends = ceil_div(tokens * row_units, rows_per_block);
  std::int64_t next = ends * rows_per_block / row_units + 1;
  if (rule.keep == Keep::last && tokens >= rule.keep_entries) {
    const std::int64_t block = (tokens - rule.keep_entries) * row_units / rows_per_block;
    next = std::min(next, ceil_div((block + 1) * rows_per_block, row_units) + rule.keep_entries);
  }
  // A tail of no rows has no block, wherever it ends.
  if (rule.keep == Keep::tail && tokens % rule.keep_entries == 0) next = tokens + 1;
  return std::max(next, tokens + 1);
}

}  // namespace kvprof
