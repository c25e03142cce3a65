#include "cuda/tile_cache.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace kvprof::cuda {
namespace {

constexpr std::int64_t most_bytes = std::int64_t{256} << 20;
constexpr std::size_t most_entries = 64;
constexpr std::size_t least_entries = 2;

}  // namespace

const TileCache::Entry* TileCache::used_again(std::uint64_t plan_id) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.plan_id == plan_id; });
  if (found == entries_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found);
  return &entries_.front();
}

const TileCache::Entry& TileCache::add(std::uint64_t plan_id, const void* list, std::int64_t count,
                                       std::int64_t nbytes) {
  const auto held = [&] {
    return std::accumulate(entries_.begin(), entries_.end(), nbytes,
                           [](std::int64_t sum, const Entry& e) { return sum + e.nbytes; });
  };
  while (entries_.size() >= least_entries &&
         (entries_.size() >= most_entries || held() > most_bytes)) {
    entries_.pop_back();
  }
  DeviceBytes data = allocate_bytes(context_, nbytes, "the addresses of a plan");
  if (nbytes > 0) copy_now(context_, data.get(), list, nbytes);
  entries_.push_front({plan_id, std::move(data), count, nbytes});
  return entries_.front();
}

}  // namespace kvprof::cuda
