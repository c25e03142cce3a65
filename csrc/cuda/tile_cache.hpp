// Plans in, their tiles in the device's memory out: a plan is cut and uploaded once, however often
// it is streamed.
#pragma once
#include <cstdint>
#include <list>
#include <vector>

#include "cuda/device_buffers.hpp"
#include "cuda/tiles.hpp"

namespace kvprof::cuda {

template <class T>
struct DeviceList {
  const T* data;
  std::int64_t count;
};

/// The lists used last, as many as a few hundred MiB hold; what is handed out is good until the
/// second call after. Used by who holds the context's mutex, with the device current.
class TileCache {
 public:
  explicit TileCache(DeviceContext& context) : context_(context) {}

  /// All throw what `tiles_of` does, and AllocationError when the device has no room for the list.
  DeviceList<Tile> tiles(const PagePlan& plan) { return find<Tile>(plan); }
  DeviceList<CopyTile> tiles(const CopyPlan& plan) { return find<CopyTile>(plan); }
  DeviceList<AppendTile> tiles(const SlotPlan& plan) { return find<AppendTile>(plan); }

 private:
  struct Entry {
    std::uint64_t plan_id;
    DeviceBytes data;
    std::int64_t count;
    std::int64_t nbytes;
  };

  template <class T, class Plan>
  DeviceList<T> find(const Plan& plan) {
    const Entry* entry = used_again(plan.id());
    if (entry == nullptr) {
      const std::vector<T> tiles = tiles_of(plan);
      const auto count = static_cast<std::int64_t>(tiles.size());
      entry = &add(plan.id(), tiles.data(), count, count * static_cast<std::int64_t>(sizeof(T)));
    }
    return {static_cast<const T*>(entry->data.get()), entry->count};
  }

  const Entry* used_again(std::uint64_t plan_id);
  const Entry& add(std::uint64_t plan_id, const void* list, std::int64_t count,
                   std::int64_t nbytes);

  DeviceContext& context_;
  std::list<Entry> entries_;  ///< the one used last comes first
};

}  // namespace kvprof::cuda
