#include "cpu/cpu_backend.hpp"

#include <stdexcept>
#include <utility>

#include "cpu/arena.hpp"
#include "cpu/host_facts.hpp"
#include "cpu/page_copies.hpp"
#include "cpu/page_spans.hpp"
#include "cpu/variants.hpp"

namespace kvprof {
namespace {

/// Writes the rows [share.begin, share.end) of a plan, counted through its layers.
void append_rows(const SlotPlan& plan, Share share, std::byte* memory, const std::byte* source,
                 std::int64_t source_rows, CopyKernel copy) {
  const Placement& placement = plan.placement();
  const std::int64_t source_row_bytes = placement.row_bytes();
  const auto tokens = static_cast<std::int64_t>(plan.writes().size());
  for (std::int64_t item = share.begin; item < share.end; ++item) {
    const SlotWrite& write = plan.writes()[static_cast<std::size_t>(item % tokens)];
    std::byte* page = memory + placement.base_bytes + item / tokens * placement.layer_stride_bytes +
                      write.block_bytes;
    const std::byte* from = source + write.token % source_rows * source_row_bytes;
    for (const Segment& segment : placement.segments) {
      copy(page + segment.offset_bytes + write.row * segment.row_bytes, from,
           static_cast<std::size_t>(segment.row_bytes), nullptr);
      from += segment.row_bytes;
    }
  }
}

void refuse_overlap(const PagePlan& plan, const char* operation) {
  if (plan.overlaps()) {
    throw std::invalid_argument(std::string("the plan overlaps itself, ") + operation + " may not");
  }
}

std::int64_t bytes_of(Element element) {
  switch (element) {
    case Element::float32:
      return 4;
    case Element::bfloat16:
      return 2;
    case Element::word64:
      break;
  }
  return 1;  // words are cut short at the end of a run
}

void refuse_broken_elements(const PagePlan& plan, Element element) {
  for (const Segment& segment : plan.placement().segments) {
    if (segment.row_bytes % bytes_of(element) != 0) {
      throw std::invalid_argument("a row of " + std::to_string(segment.row_bytes) +
                                  " bytes does not hold whole elements of " +
                                  std::to_string(bytes_of(element)));
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
  return std::make_unique<Arena>(nbytes, policy);
}

std::vector<std::string> CpuBackend::variants(Stream stream) const {
  switch (stream) {
    case Stream::decode_read:
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
  memory.check_range(offset_bytes, nbytes);
  if (parts < 1 || part < 0 || part >= parts) {
    throw std::invalid_argument("part is " + std::to_string(part) + " of " + std::to_string(parts) +
                                ", it must be from 0 up to below that");
  }
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
  memory.check_extent(plan.extent_bytes());
  const ReadKernel kernel = variant_named(variant, kernels_.read);
  return stream(plan.nbytes(), 1, plan.nbytes(), [&](Share share) {
    PageSpans spans(plan, memory.data(), share);
    return for_spans(spans, kernel);
  });
}

StreamResult CpuBackend::state_update(Memory& memory, const PagePlan& plan, const Update& update,
                                      const std::string& variant) {
  memory.check_extent(plan.extent_bytes());
  refuse_overlap(plan, "an update");
  refuse_broken_elements(plan, update.element);
  const UpdateKernel kernel = variant_named(variant, updates_of(kernels_, update.element));
  const UpdateTerms terms{update.addend, update.decay, update.input};
  return stream(plan.nbytes(), 1, 2 * plan.nbytes(), [&](Share share) {
    PageSpans spans(plan, memory.data(), share);
    return for_spans(spans, [&](const Span* some, std::size_t count, std::size_t ahead) {
      return kernel(some, count, ahead, terms);
    });
  });
}

StreamResult CpuBackend::append(Memory& memory, const SlotPlan& plan, const std::byte* source,
                                std::int64_t source_bytes, const std::string& variant) {
  memory.check_extent(plan.extent_bytes());
  const CopyKernel kernel = variant_named(variant, kernels_.append);
  const std::int64_t row_bytes = plan.placement().row_bytes();
  if (source_bytes == 0 || source_bytes % row_bytes != 0) {
    throw std::invalid_argument("source has " + std::to_string(source_bytes) +
                                " bytes, it must hold whole rows of " + std::to_string(row_bytes));
  }
  const std::int64_t items =
      static_cast<std::int64_t>(plan.writes().size()) * plan.placement().layers;
  return stream(items, 1, plan.nbytes(), [&](Share share) -> std::uint64_t {
    append_rows(plan, share, memory.data(), source, source_bytes / row_bytes, kernel);
    kernels_.fence();
    return 0;
  });
}

StreamResult CpuBackend::copy(const Memory& from, Memory& to, const CopyPlan& plan,
                              CopyKernel kernel) {
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
  if (!plan.disjoint()) {
    throw std::invalid_argument("the plan of a block_copy reads bytes that it writes");
  }
  return copy(memory, memory, plan, variant_named(variant, kernels_.copy));
}

StreamResult CpuBackend::swap(const Memory& from, Memory& to, const CopyPlan& plan,
                              const std::string& variant) {
  if (&from == &to) throw std::invalid_argument("a swap is between two memories: try block_copy");
  return copy(from, to, plan, variant_named(variant, kernels_.copy));
}

StreamResult CpuBackend::zero(Memory& memory, const PagePlan& plan, const std::string& variant) {
  memory.check_extent(plan.extent_bytes());
  refuse_overlap(plan, "a zeroing");
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
