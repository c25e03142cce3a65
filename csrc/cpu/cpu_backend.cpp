#include "cpu/cpu_backend.hpp"

#include <stdexcept>
#include <utility>

#include "cpu/arena.hpp"
#include "cpu/host_facts.hpp"
#include "cpu/page_spans.hpp"

namespace kvprof {
namespace {

/// Rows from here on are stored past the cache: a plain store first reads the line it overwrites.
constexpr std::int64_t non_temporal_row_bytes = 128;

/// Writes the rows [share.begin, share.end) of a plan, counted through its layers.
void append_rows(const SlotPlan& plan, Share share, std::byte* memory, const std::byte* source,
                 std::int64_t source_rows, const KernelTable& kernels) {
  const Placement& placement = plan.placement();
  const std::int64_t source_row_bytes = placement.row_bytes();
  const auto tokens = static_cast<std::int64_t>(plan.writes().size());
  for (std::int64_t item = share.begin; item < share.end; ++item) {
    const SlotWrite& write = plan.writes()[static_cast<std::size_t>(item % tokens)];
    std::byte* page = memory + placement.base_bytes + item / tokens * placement.layer_stride_bytes +
                      write.block_bytes;
    const std::byte* from = source + write.token % source_rows * source_row_bytes;
    for (const Segment& segment : placement.segments) {
      const auto copy = segment.row_bytes >= non_temporal_row_bytes ? kernels.copy_non_temporal
                                                                    : kernels.copy_plain;
      copy(page + segment.offset_bytes + write.row * segment.row_bytes, from,
           static_cast<std::size_t>(segment.row_bytes));
      from += segment.row_bytes;
    }
  }
  kernels.fence();
}

}  // namespace

CpuBackend::CpuBackend(std::vector<int> cpus) : kernels_(select_kernels()), team_(std::move(cpus)) {
  facts_.name = cpu_name();
  facts_.backend = "cpu";
  facts_.instruction_set = kernels_.instruction_set;
  facts_.compute_units = static_cast<int>(team_.size());
  facts_.memory_bytes = memory_bytes();
  facts_.last_level_cache_bytes = last_level_cache_bytes(team_.cpus());
}

std::unique_ptr<Memory> CpuBackend::allocate(std::int64_t nbytes, const std::string& policy) {
  return std::make_unique<Arena>(nbytes, policy);
}

StreamResult CpuBackend::stream(std::int64_t total, std::int64_t grain, std::int64_t nbytes,
                                const ShareWork& work) {
  std::vector<std::uint64_t> sums(team_.size());
  StreamResult result;
  result.nbytes = nbytes;
  result.seconds = team_.run([&](std::size_t thread) {
    sums[thread] = work(share_of(total, thread, team_.size(), grain));
  });
  for (const std::uint64_t sum : sums) result.checksum += sum;
  return result;
}

double CpuBackend::fill(Memory& memory, std::int64_t offset_bytes, std::int64_t nbytes,
                        std::uint64_t seed) {
  memory.check_range(offset_bytes, nbytes);
  const auto work = [&](Share share) -> std::uint64_t {
    kernels_.fill(memory.data(), static_cast<std::size_t>(offset_bytes + share.begin),
                  static_cast<std::size_t>(offset_bytes + share.end), seed);
    return 0;
  };
  return stream(nbytes, page_grain, nbytes, work).seconds;
}

StreamResult CpuBackend::decode_read(const Memory& memory, const PagePlan& plan) {
  memory.check_extent(plan.extent_bytes());
  return stream(plan.nbytes(), 1, plan.nbytes(), [&](Share share) {
    PageSpans spans(plan, memory.data(), share);
    return for_spans(spans, kernels_.sum);
  });
}

StreamResult CpuBackend::state_update(Memory& memory, const PagePlan& plan, std::uint64_t addend) {
  memory.check_extent(plan.extent_bytes());
  if (plan.overlaps()) throw std::invalid_argument("the plan overlaps itself, an update may not");
  return stream(plan.nbytes(), 1, 2 * plan.nbytes(), [&](Share share) {
    PageSpans spans(plan, memory.data(), share);
    return for_spans(spans, [&](const Span* some, std::size_t count, std::size_t ahead) {
      return kernels_.add(some, count, ahead, addend);
    });
  });
}

StreamResult CpuBackend::append(Memory& memory, const SlotPlan& plan, const std::byte* source,
                                std::int64_t source_bytes) {
  memory.check_extent(plan.extent_bytes());
  const std::int64_t row_bytes = plan.placement().row_bytes();
  if (source_bytes == 0 || source_bytes % row_bytes != 0) {
    throw std::invalid_argument("source has " + std::to_string(source_bytes) +
                                " bytes, it must hold whole rows of " + std::to_string(row_bytes));
  }
  const std::int64_t items =
      static_cast<std::int64_t>(plan.writes().size()) * plan.placement().layers;
  return stream(items, 1, plan.nbytes(), [&](Share share) -> std::uint64_t {
    append_rows(plan, share, memory.data(), source, source_bytes / row_bytes, kernels_);
    return 0;
  });
}

}  // namespace kvprof
