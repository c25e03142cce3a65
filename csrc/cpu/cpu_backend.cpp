#include "cpu/cpu_backend.hpp"

#include <algorithm>
#include <utility>

#include "cpu/arena.hpp"
#include "cpu/host_facts.hpp"
#include "cpu/page_copies.hpp"
#include "cpu/page_spans.hpp"
#include "cpu/variants.hpp"
#include "device/allocation_cost.hpp"
#include "device/checks.hpp"
#include "device/host_memory.hpp"

namespace kvprof {
namespace {

/// Writes the rows [share.begin, share.end) of a plan, counted through its layers.
void append_rows(const SlotPlan& plan, Share share, std::byte* memory, const Source& source,
                 CopyKernel copy) {
  const Placement& placement = plan.placement();
  const std::int64_t source_row_bytes = placement.row_bytes();
  const std::int64_t source_rows = source.nbytes / source_row_bytes;
  const auto tokens = static_cast<std::int64_t>(plan.writes().size());
  for (std::int64_t item = share.begin; item < share.end; ++item) {
    const std::int64_t layer = item / tokens;
    const SlotWrite& write = plan.writes()[static_cast<std::size_t>(item % tokens)];
    std::byte* page =
        memory + placement.base_bytes + layer * placement.layer_stride_bytes + write.block_bytes;
    const std::int64_t row = (layer * plan.tokens() + write.token) % source_rows;
    const std::byte* from = source.data + row * source_row_bytes;
    for (const Segment& segment : placement.segments) {
      copy(page + segment.offset_bytes + write.row * segment.row_bytes, from,
           static_cast<std::size_t>(segment.row_bytes), nullptr);
      from += segment.row_bytes;
    }
  }
}

const Variants<UpdateKernel>& updates_of(const KernelTable& kernels, Element element) {
  switch (element) {
    case Element::float32:
      return kernels.update_float32;
    case Element::bfloat16:
      return kernels.update_bfloat16;
    case Element::word64:
      break;
  }
  return kernels.update_words;
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
  return std::make_unique<Arena>(nbytes, policy.empty() ? policies().front() : policy);
}

std::int64_t CpuBackend::available_bytes() const { return available_memory_bytes(); }

AllocationCost CpuBackend::allocation_cost(std::int64_t nbytes, std::int64_t count,
                                           const std::string& policy) {
  // Pages come with the first touch, so what the system holds is not known here.
  return cost_of_allocations(nbytes, count, [&] { return allocate(nbytes, policy); }, nullptr);
}

std::vector<std::string> CpuBackend::variants(Stream stream) const {
  switch (stream) {
    case Stream::decode_read:
    case Stream::sparse_read:
      return names_of(kernels_.read);
    case Stream::state_update:
      return names_of(kernels_.update_words);
    case Stream::zero:
      return names_of(kernels_.write);
    case Stream::append:
      return names_of(kernels_.append);
    case Stream::block_copy:
    case Stream::swap:
      break;
  }
  return names_of(kernels_.copy);
}

StreamResult CpuBackend::stream(std::int64_t total, std::int64_t grain, std::int64_t nbytes,
                                const ShareWork& work) {
  std::vector<std::uint64_t> sums(team_.size());
  const Timing timing = team_.run([&](std::size_t thread) {
    sums[thread] = work(share_of(total, thread, team_.size(), grain));
  });
  StreamResult result{timing.seconds,      nbytes,         0, timing.interruptions,
                      timing.lost_seconds, timing.clock_hz};
  for (const std::uint64_t sum : sums) result.checksum += sum;
  return result;
}

double CpuBackend::fill(Memory& memory, std::int64_t offset_bytes, std::int64_t nbytes,
                        std::uint64_t seed, bool finite, std::int64_t part, std::int64_t parts) {
  check_on_host(memory);
  memory.check_range(offset_bytes, nbytes);
  check_part(part, parts);
  const auto work = [&](Share share) -> std::uint64_t {
    const Share own = share_of(share.end - share.begin, static_cast<std::size_t>(part),
                               static_cast<std::size_t>(parts), page_grain);
    kernels_.fill(memory.data(), static_cast<std::size_t>(offset_bytes + share.begin + own.begin),
                  static_cast<std::size_t>(offset_bytes + share.begin + own.end), seed, finite);
    return 0;
  };
  return stream(nbytes, page_grain, nbytes, work).seconds;
}

StreamResult CpuBackend::decode_read(const Memory& memory, const PagePlan& plan,
                                     const std::string& variant) {
  check_on_host(memory);
  memory.check_extent(plan.extent_bytes());
  const ReadKernel kernel = variant_named(variant, kernels_.read);
  return stream(plan.nbytes(), 1, plan.nbytes(), [&](Share share) {
    PageSpans spans(plan, memory.data(), share);
    return for_spans(spans, kernel);
  });
}

StreamResult CpuBackend::state_update(Memory& memory, const PagePlan& plan, const Update& update,
                                      const std::string& variant) {
  check_on_host(memory);
  memory.check_extent(plan.extent_bytes());
  check_update(plan, update.element);
  const UpdateKernel kernel = variant_named(variant, updates_of(kernels_, update.element));
  const UpdateTerms terms{update.addend, update.decay, update.input};
  return stream(plan.nbytes(), 1, 2 * plan.nbytes(), [&](Share share) {
    PageSpans spans(plan, memory.data(), share);
    return for_spans(spans, [&](const Span* some, std::size_t count, std::size_t ahead) {
      return kernel(some, count, ahead, terms);
    });
  });
}

StreamResult CpuBackend::sparse_read(const Memory& memory, const PagePlan& index,
                                     const PagePlan& rows, const std::string& variant) {
  check_on_host(memory);
  memory.check_extent(index.extent_bytes());
  memory.check_extent(rows.extent_bytes());
  variant_named(variant, kernels_.read);
  StreamResult all = decode_read(memory, index, "");
  const StreamResult picked = decode_read(memory, rows, variant);
  all.seconds += picked.seconds;
  all.nbytes += picked.nbytes;
  all.checksum += picked.checksum;
  all.interruptions += picked.interruptions;
  all.lost_seconds += picked.lost_seconds;
  all.clock_hz = std::min(all.clock_hz, picked.clock_hz);
  return all;
}

StreamResult CpuBackend::append(Memory& memory, const SlotPlan& plan, const Source& source,
                                const std::string& variant) {
  check_on_host(memory);
  memory.check_extent(plan.extent_bytes());
  const CopyKernel kernel = variant_named(variant, kernels_.append);
  check_source(memory, plan, source);
  if (source.memory != nullptr) check_on_host(*source.memory);
  const std::int64_t items =
      static_cast<std::int64_t>(plan.writes().size()) * plan.placement().layers;
  return stream(items, 1, source.memory != nullptr ? 2 * plan.nbytes() : plan.nbytes(),
                [&](Share share) -> std::uint64_t {
                  append_rows(plan, share, memory.data(), source, kernel);
                  kernels_.fence();
                  return 0;
                });
}

StreamResult CpuBackend::copy(const Memory& from, Memory& to, const CopyPlan& plan,
                              CopyKernel kernel) {
  check_on_host(from);
  check_on_host(to);
  from.check_extent(plan.from().extent_bytes());
  to.check_extent(plan.to().extent_bytes());
  return stream(plan.nbytes(), 1, 2 * plan.nbytes(), [&](Share share) -> std::uint64_t {
    PageSpans sources(plan.from(), from.data(), share);
    PageSpans targets(plan.to(), to.data(), share);
    copy_spans(sources, targets, kernel);
    kernels_.fence();
    return 0;
  });
}

StreamResult CpuBackend::block_copy(Memory& memory, const CopyPlan& plan,
                                    const std::string& variant) {
  check_block_copy(plan);
  return copy(memory, memory, plan, variant_named(variant, kernels_.copy));
}

StreamResult CpuBackend::swap(const Memory& from, Memory& to, const CopyPlan& plan,
                              const std::string& variant) {
  check_swap(from, to);
  return copy(from, to, plan, variant_named(variant, kernels_.copy));
}

StreamResult CpuBackend::zero(Memory& memory, const PagePlan& plan, const std::string& variant) {
  check_on_host(memory);
  memory.check_extent(plan.extent_bytes());
  check_zeroing(plan);
  const WriteKernel kernel = variant_named(variant, kernels_.write);
  return stream(plan.nbytes(), 1, plan.nbytes(), [&](Share share) -> std::uint64_t {
    PageSpans spans(plan, memory.data(), share);
    for_spans(spans, [&](const Span* some, std::size_t count, std::size_t) -> std::uint64_t {
      for (std::size_t i = 0; i < count; ++i) kernel(some[i].data, some[i].nbytes, 0);
      return 0;
    });
    kernels_.fence();
    return 0;
  });
}

}  // namespace kvprof
