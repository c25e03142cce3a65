// Runs of blocks with the same users: joined, split where users part, left.
#include "core/replay/shared_runs.hpp"

#include <algorithm>
#include <utility>

namespace kvprof {

void SharedRuns::join(Slot slot, std::int64_t first, ArrayView<const BlockId> blocks, bool leads) {
  if (runs_of_.size() <= slot) runs_of_.resize(slot + 1);
  for (std::size_t i = 0; i < blocks.size;) {
    std::uint32_t run = run_of_[blocks[i]];
    std::size_t j = i + 1;
    while (j < blocks.size && run_of_[blocks[j]] == run) ++j;
    const std::int64_t begin = first + static_cast<std::int64_t>(i);
    const std::int64_t end = first + static_cast<std::int64_t>(j);
    if (run == none) run = new_run(begin, blocks.skip(i).first(j - i));
    if (begin > runs_[run].live && (i > 0 || !leads)) run = split(run, begin);
    if (end < runs_[run].end()) split(run, end);
    add_user(run, slot);
    i = j;
  }
}

void SharedRuns::leave(Slot slot) {
  if (runs_of_.size() <= slot) return;
  for (const std::uint32_t run : std::exchange(runs_of_[slot], {})) {
    std::vector<Slot>& users = runs_[run].users;
    users.erase(std::find(users.begin(), users.end(), slot));
    if (users.size() == 1) --num_shared_;
    if (users.empty()) remove(run);
  }
}

void SharedRuns::forget(BlockId block, std::int64_t index) {
  const std::uint32_t run = std::exchange(run_of_[block], none);
  if (run == none) return;
  runs_[run].live = std::max(runs_[run].live, index + 1);
  if (runs_[run].live < runs_[run].end()) return;
  if (runs_[run].users.size() > 1) --num_shared_;
  for (const Slot slot : runs_[run].users) {
    std::vector<std::uint32_t>& runs = runs_of_[slot];
    runs.erase(std::find(runs.begin(), runs.end(), run));
  }
  remove(run);
}

std::uint32_t SharedRuns::new_run(std::int64_t first, ArrayView<const BlockId> blocks) {
  std::uint32_t run = static_cast<std::uint32_t>(runs_.size());
  if (unused_runs_.empty()) {
    runs_.emplace_back();
  } else {
    run = unused_runs_.back();
    unused_runs_.pop_back();
  }
  runs_[run] = {first, first, {blocks.data, blocks.data + blocks.size}, {}};
  for (const BlockId block : runs_[run].blocks) run_of_[block] = run;
  return run;
}

std::uint32_t SharedRuns::split(std::uint32_t run, std::int64_t at) {
  const auto kept = static_cast<std::size_t>(at - runs_[run].first);
  const std::vector<BlockId> rest(runs_[run].blocks.begin() + static_cast<std::ptrdiff_t>(kept),
                                  runs_[run].blocks.end());
  runs_[run].blocks.resize(kept);
  const std::uint32_t other = new_run(at, {rest.data(), rest.size()});
  const std::vector<Slot> users = runs_[run].users;
  for (const Slot slot : users) add_user(other, slot);
  return other;
}

void SharedRuns::add_user(std::uint32_t run, Slot slot) {
  runs_[run].users.push_back(slot);
  runs_of_[slot].push_back(run);
  if (runs_[run].users.size() == 2) ++num_shared_;
}

void SharedRuns::remove(std::uint32_t run) {
  for (const BlockId block : runs_[run].blocks) {
    if (run_of_[block] == run) run_of_[block] = none;
  }
  runs_[run] = {};
  unused_runs_.push_back(run);
}

}  // namespace kvprof
