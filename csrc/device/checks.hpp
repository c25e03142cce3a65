// What every backend refuses before it touches a byte, in the same words.
#pragma once
#include "device/backend.hpp"

namespace kvprof {

/// All throw std::invalid_argument with the offending value.

/// A size is at least one byte.
void check_size(std::int64_t nbytes);

/// The host can address the memory.
void check_on_host(const Memory& memory);

/// An update may not overlap itself, and its rows hold whole elements.
void check_update(const PagePlan& plan, Element element);

/// A zeroing may not overlap itself.
void check_zeroing(const PagePlan& plan);

/// A copy within one memory may not read what it writes.
void check_block_copy(const CopyPlan& plan);

/// A swap is between two memories.
void check_swap(const Memory& from, const Memory& to);

/// A source holds whole rows of the plan, one at least, and is not what is written.
void check_source(const Memory& memory, const SlotPlan& plan, const Source& source);

/// A part of a fill is one of its parts.
void check_part(std::int64_t part, std::int64_t parts);

/// A ceiling that updates goes over whole 64-bit words.
void check_words(std::int64_t nbytes);

}  // namespace kvprof
