#include "device/checks.hpp"

#include <stdexcept>
#include <string>

namespace kvprof {
namespace {

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

}  // namespace

void check_size(std::int64_t nbytes) {
  if (nbytes < 1) {
    throw std::invalid_argument("nbytes is " + std::to_string(nbytes) + ", it must be at least 1");
  }
}

void check_on_host(const Memory& memory) {
  if (!memory.place().on_host()) {
    throw std::invalid_argument("the memory lies on a CUDA device, where the CPU cannot stream it");
  }
}

void check_update(const PagePlan& plan, Element element) {
  refuse_overlap(plan, "an update");
  for (const Segment& segment : plan.placement().segments) {
    if (segment.row_bytes % bytes_of(element) != 0) {
      throw std::invalid_argument("a row of " + std::to_string(segment.row_bytes) +
                                  " bytes does not hold whole elements of " +
                                  std::to_string(bytes_of(element)));
    }
  }
}

void check_zeroing(const PagePlan& plan) { refuse_overlap(plan, "a zeroing"); }

void check_block_copy(const CopyPlan& plan) {
  if (!plan.disjoint()) {
    throw std::invalid_argument("the plan of a block_copy reads bytes that it writes");
  }
}

void check_swap(const Memory& from, const Memory& to) {
  if (&from == &to) throw std::invalid_argument("a swap is between two memories: try block_copy");
}

void check_source(const Memory& memory, const SlotPlan& plan, const Source& source) {
  if (source.memory == &memory) {
    throw std::invalid_argument("the source of an append is the memory that it writes");
  }
  const std::int64_t row_bytes = plan.placement().row_bytes();
  if (source.nbytes == 0 || source.nbytes % row_bytes != 0) {
    throw std::invalid_argument("source has " + std::to_string(source.nbytes) +
                                " bytes, it must hold whole rows of " + std::to_string(row_bytes));
  }
}

void check_part(std::int64_t part, std::int64_t parts) {
  if (parts < 1 || part < 0 || part >= parts) {
    throw std::invalid_argument("part is " + std::to_string(part) + " of " + std::to_string(parts) +
                                ", it must be from 0 up to below that");
  }
}

void check_words(std::int64_t nbytes) {
  if (nbytes % 8 != 0) {
    throw std::invalid_argument(std::to_string(nbytes) +
                                " bytes are not whole 64-bit words, rmw needs them");
  }
}

}  // namespace kvprof
