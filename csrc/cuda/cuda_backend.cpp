#include "cuda/cuda_backend.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "cuda/cuda_check.hpp"
#include "cuda/cuda_memory.hpp"
#include "cuda/device_facts.hpp"
#include "cuda/nvtx_range.hpp"
#include "cuda/reservation.hpp"
#include "cuda/swaps.hpp"
#include "cuda/variant_names.hpp"
#include "device/allocation_cost.hpp"
#include "device/checks.hpp"
#include "device/share.hpp"

namespace kvprof::cuda {
namespace {

std::uint64_t address(const std::byte* at) { return reinterpret_cast<std::uint64_t>(at); }

ListedSpans spans_of(const Memory& memory, const PagePlan& plan, DeviceList<Tile> tiles) {
  const Placement& placement = plan.placement();
  return {tiles.data, tiles.count, placement.layers,
          address(memory.data()) + static_cast<std::uint64_t>(placement.base_bytes),
          placement.layer_stride_bytes};
}

ListedCopies copies_of(const Memory& from, const Memory& to, const CopyPlan& plan,
                       DeviceList<CopyTile> tiles) {
  const Placement& source = plan.from().placement();
  const Placement& target = plan.to().placement();
  return {tiles.data,
          tiles.count,
          source.layers,
          address(from.data()) + static_cast<std::uint64_t>(source.base_bytes),
          address(to.data()) + static_cast<std::uint64_t>(target.base_bytes),
          source.layer_stride_bytes,
          target.layer_stride_bytes};
}

ListedAppends appends_of(const Memory& memory, const SlotPlan& plan, DeviceList<AppendTile> tiles,
                         const std::byte* source, std::int64_t source_bytes) {
  const Placement& placement = plan.placement();
  ListedAppends appends{};
  appends.tiles = tiles.data;
  appends.count = tiles.count;
  appends.layers = placement.layers;
  appends.to_base = address(memory.data()) + static_cast<std::uint64_t>(placement.base_bytes);
  appends.layer_stride = placement.layer_stride_bytes;
  appends.tokens = plan.tokens();
  appends.source = address(source);
  appends.source_row_bytes = placement.row_bytes();
  appends.source_rows = source_bytes / appends.source_row_bytes;
  return appends;
}

}  // namespace

CudaBackend::CudaBackend(int index, bool blocking)
    : context_(std::make_shared<DeviceContext>(index)),
      facts_(device_facts(index)),
      policies_(reservation_policies(index)),
      tiles_(std::make_unique<TileCache>(*context_)),
      rows_(std::make_unique<UploadedRows>(*context_)) {
  const Turn turn(*context_);
  try {
    read_variants_ = read_variants();
    timer_ = std::make_unique<PassTimer>(*context_, blocking);
    checksums_ = std::make_unique<Checksums>(*context_);
  } catch (...) {
    give_back();
    throw;
  }
}

CudaBackend::~CudaBackend() {
  const Turn turn(*context_);
  give_back();
}

void CudaBackend::give_back() {
  timer_.reset();
  checksums_.reset();
  rows_.reset();
  tiles_.reset();
}

void CudaBackend::check_reach(const Memory& memory) const {
  const Place place = memory.place();
  if (place.kind == Place::Kind::host ||
      (place.kind == Place::Kind::cuda && place.device != context_->index())) {
    throw std::invalid_argument("the memory is not of this device, nor page-locked");
  }
}

std::int64_t CudaBackend::available_bytes() const {
  const Turn turn(*context_);
  return context_->free_bytes();
}

std::unique_ptr<Memory> CudaBackend::allocate(std::int64_t nbytes, const std::string& policy) {
  return std::make_unique<CudaMemory>(context_, nbytes,
                                      policy.empty() ? policies().front() : policy);
}

std::unique_ptr<Memory> CudaBackend::allocate_host(std::int64_t nbytes) {
  return std::make_unique<PinnedMemory>(context_, nbytes);
}

AllocationCost CudaBackend::allocation_cost(std::int64_t nbytes, std::int64_t count,
                                            const std::string& policy) {
  const std::string way = policy.empty() ? policies().front() : policy;
  const Turn turn(*context_);
  // What the driver does, without the guard bytes that a memory has.
  return cost_of_allocations(
      nbytes, count, [&] { return std::shared_ptr<void>(reserve(*context_, nbytes, 0, way)); },
      [&] { return context_->free_bytes(); });
}

std::vector<std::string> CudaBackend::variants(Stream stream) const {
  switch (stream) {
    case Stream::decode_read:
    case Stream::sparse_read:
      return read_variants_;
    case Stream::swap:
      return swap_variants();
    case Stream::zero:
      return {"vector"};
    case Stream::append:
    case Stream::state_update:
    case Stream::block_copy:
      break;
  }
  return vector_variants();
}

StreamResult CudaBackend::run(const Pass& pass) {
  const NvtxRange range(pass.name, pass.nbytes);
  checksums_->clear();
  const PassTiming time = timer_->time(pass.work);
  StreamResult result;
  result.seconds = time.seconds;
  result.nbytes = pass.nbytes;
  result.checksum = checksums_->sum();
  result.clock_hz = time.clock_hz;
  return result;
}

double CudaBackend::fill(Memory& memory, std::int64_t offset_bytes, std::int64_t nbytes,
                         std::uint64_t seed, bool finite, std::int64_t part, std::int64_t parts) {
  check_reach(memory);
  memory.check_range(offset_bytes, nbytes);
  check_part(part, parts);
  const Turn turn(*context_);
  const Share own =
      share_of(nbytes, static_cast<std::size_t>(part), static_cast<std::size_t>(parts), page_grain);
  const ContiguousSpans span{address(memory.data() + offset_bytes + own.begin),
                             own.end - own.begin};
  return run({"fill", span.nbytes,
              fill_work(context_->launch(), address(memory.data()), span, seed, finite)})
      .seconds;
}

StreamResult CudaBackend::decode_read(const Memory& memory, const PagePlan& plan,
                                      const std::string& variant) {
  check_reach(memory);
  memory.check_extent(plan.extent_bytes());
  const std::size_t way = variant_index(variant, variants(Stream::decode_read));
  const Turn turn(*context_);
  const ListedSpans spans = spans_of(memory, plan, tiles_->tiles(plan));
  return run({"decode_read", plan.nbytes(),
              read_work(context_->launch(), spans, way, checksums_->totals())});
}

StreamResult CudaBackend::sparse_read(const Memory& memory, const PagePlan& index,
                                      const PagePlan& rows, const std::string& variant) {
  check_reach(memory);
  memory.check_extent(index.extent_bytes());
  memory.check_extent(rows.extent_bytes());
  const std::size_t way = variant_index(variant, variants(Stream::sparse_read));
  const Turn turn(*context_);
  const ListedSpans all = spans_of(memory, index, tiles_->tiles(index));
  const ListedSpans picked = spans_of(memory, rows, tiles_->tiles(rows));
  const Work read_all = read_work(context_->launch(), all, 0, checksums_->totals());
  const Work read_picked = read_work(context_->launch(), picked, way, checksums_->totals());
  return run({"sparse_read", index.nbytes() + rows.nbytes(), [&] {
                read_all();
                read_picked();
              }});
}

StreamResult CudaBackend::append(Memory& memory, const SlotPlan& plan, const Source& source,
                                 const std::string& variant) {
  check_reach(memory);
  memory.check_extent(plan.extent_bytes());
  const std::size_t way = variant_index(variant, variants(Stream::append));
  check_source(memory, plan, source);
  if (source.memory != nullptr) check_reach(*source.memory);
  const Turn turn(*context_);
  const std::byte* rows = source.memory != nullptr ? source.data : rows_->upload(source);
  const ListedAppends appends = appends_of(memory, plan, tiles_->tiles(plan), rows, source.nbytes);
  return run({"append", source.memory != nullptr ? 2 * plan.nbytes() : plan.nbytes(),
              append_work(context_->launch(), appends, way)});
}

StreamResult CudaBackend::state_update(Memory& memory, const PagePlan& plan, const Update& update,
                                       const std::string& variant) {
  check_reach(memory);
  memory.check_extent(plan.extent_bytes());
  check_update(plan, update.element);
  const std::size_t way = variant_index(variant, variants(Stream::state_update));
  const Turn turn(*context_);
  const ListedSpans spans = spans_of(memory, plan, tiles_->tiles(plan));
  return run({"state_update", 2 * plan.nbytes(),
              update_work(context_->launch(), spans, update, way, checksums_->totals())});
}

StreamResult CudaBackend::block_copy(Memory& memory, const CopyPlan& plan,
                                     const std::string& variant) {
  check_reach(memory);
  check_block_copy(plan);
  memory.check_extent(plan.from().extent_bytes());
  memory.check_extent(plan.to().extent_bytes());
  const std::size_t way = variant_index(variant, variants(Stream::block_copy));
  const Turn turn(*context_);
  const ListedCopies copies = copies_of(memory, memory, plan, tiles_->tiles(plan));
  return run({"block_copy", 2 * plan.nbytes(), copy_work(context_->launch(), copies, way)});
}

StreamResult CudaBackend::swap(const Memory& from, Memory& to, const CopyPlan& plan,
                               const std::string& variant) {
  check_reach(from);
  check_reach(to);
  check_swap(from, to);
  from.check_extent(plan.from().extent_bytes());
  to.check_extent(plan.to().extent_bytes());
  const std::vector<std::string> names = variants(Stream::swap);
  const std::string& way = names[variant_index(variant, names)];
  const Turn turn(*context_);
  const int sides = !from.place().on_host() + !to.place().on_host();
  const NvtxRange range("swap", sides * plan.nbytes());
  Work work;
  if (way == "kernel") {
    const ListedCopies copies = copies_of(from, to, plan, tiles_->tiles(plan));
    work = copy_work(context_->launch(), copies, 0);
  } else {
    work = copies_by_the_driver(from, to, plan, way == "batched", context_->stream());
  }
  StreamResult result;
  result.seconds = timer_->time_submission(work).seconds;
  result.nbytes = sides * plan.nbytes();
  return result;
}

StreamResult CudaBackend::zero(Memory& memory, const PagePlan& plan, const std::string& variant) {
  check_reach(memory);
  memory.check_extent(plan.extent_bytes());
  check_zeroing(plan);
  variant_index(variant, variants(Stream::zero));
  const Turn turn(*context_);
  const ListedSpans spans = spans_of(memory, plan, tiles_->tiles(plan));
  return run({"zero", plan.nbytes(), write_work(context_->launch(), spans, 0)});
}

}  // namespace kvprof::cuda
