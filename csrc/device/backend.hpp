// The interface that every device backend answers: memory, the stream operations of a serving
// engine, and the ceilings they are compared with. An operation takes a memory and an address plan
// and returns one timed pass; the caller repeats, interleaves and judges.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device/address_plan.hpp"
#include "device/copy_plan.hpp"
#include "device/memory.hpp"

namespace kvprof {

/// What a backend knows of its device.
struct DeviceFacts {
  std::string name;
  std::string backend;
  std::string instruction_set;
  int compute_units = 0;
  std::int64_t memory_bytes = 0;
  std::int64_t last_level_cache_bytes = 0;
  std::optional<double> bus_peak_bytes_per_s;
};

/// One timed pass: `nbytes` of the device's memory moved (read plus written) in `seconds`.
///
/// `checksum` is the sum, modulo 2**64, of the little-endian 64-bit words of every run read, of the
/// new values for an update; a run's last bytes are extended with zeros to a word. It is 0 for an
/// operation that only writes or copies. `interruptions` counts how often a thread lost its CPU
/// meanwhile, `lost_seconds` is the most that any was without it; `clock_hz` is the slowest core's
/// clock just after the pass, 0 where it is not known.
struct StreamResult {
  double seconds = 0;
  std::int64_t nbytes = 0;
  std::uint64_t checksum = 0;
  std::int64_t interruptions = 0;
  double lost_seconds = 0;
  double clock_hz = 0;
};

/// What a ceiling does with its bytes.
enum class Ceiling { read, write, copy, rmw };

/// The memory traffic of a serving engine.
enum class Stream { decode_read, sparse_read, append, state_update, block_copy, swap, zero };

/// What an update takes its bytes for.
enum class Element { word64, float32, bfloat16 };

/// What a state update does to an element x: x + addend for 64-bit words (the last bytes of a run,
/// fewer than eight, are a shorter word), x * decay + input in float32 for floats, with two
/// roundings. Denormal operands and results count as zero.
struct Update {
  Element element = Element::word64;
  std::uint64_t addend = 0;
  float decay = 1;
  float input = 0;
};

/// The rows that an append writes: row t of layer l, of T tokens, is row (l * T + t) % rows, where
/// `nbytes` hold that many rows. Rows of the host are few and meant to stay in cache, as if just
/// computed; those of a `memory` are streamed like the rest and count as read.
struct Source {
  const std::byte* data;
  std::int64_t nbytes;
  const Memory* memory = nullptr;

  Source(const std::byte* rows, std::int64_t size) : data(rows), nbytes(size) {}
  explicit Source(const Memory& rows) : data(rows.data()), nbytes(rows.nbytes()), memory(&rows) {}
};

/// What `count` allocations of one size cost, and what the device really holds for them.
struct AllocationCost {
  double allocate_seconds = 0;  ///< of one, on average
  double free_seconds = 0;      ///< of one, on average
  std::int64_t asked_bytes = 0;
  std::int64_t held_bytes = 0;
};

/// Every operation throws std::out_of_range, before it touches anything, when it would leave the
/// memory, and std::invalid_argument for a variant that it does not have; an empty variant is the
/// usual winner. Checksums and bytes written depend neither on how the work is divided nor on the
/// variant.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual const DeviceFacts& facts() const = 0;

  /// The CPUs that its threads run on, and whether each is pinned; none for a device of its own.
  virtual std::vector<int> cpus() const { return {}; }
  virtual std::vector<bool> pinned() const { return {}; }

  /// Bytes that can be allocated now.
  virtual std::int64_t available_bytes() const = 0;

  /// Ways to allocate, the usual one first.
  virtual std::vector<std::string> policies() const = 0;

  /// Reserves memory by one of the backend's policies, the usual one for an empty name; its pages
  /// are not touched yet. Throws AllocationError when there is not so much, std::invalid_argument
  /// for a bad policy.
  virtual std::unique_ptr<Memory> allocate(std::int64_t nbytes, const std::string& policy) = 0;

  /// Memory of the host to swap with.
  virtual std::unique_ptr<Memory> allocate_host(std::int64_t nbytes) = 0;

  /// Allocates `count` times `nbytes` by a policy, looks what the device holds then, and frees
  /// them.
  virtual AllocationCost allocation_cost(std::int64_t nbytes, std::int64_t count,
                                         const std::string& policy) = 0;

  /// Writes bytes that depend on seed and address only, all of them finite floats where `finite`;
  /// returns the seconds it took. Each thread fills its share of the range; `part` of `parts`
  /// fills that part of every share, so that a long fill can be done in steps.
  virtual double fill(Memory& memory, std::int64_t offset_bytes, std::int64_t nbytes,
                      std::uint64_t seed, bool finite, std::int64_t part, std::int64_t parts) = 0;

  /// Ways to run an operation on this device, the usual winner first. They move the same bytes;
  /// the caller times them and takes the fastest.
  virtual std::vector<std::string> variants(Stream stream) const = 0;

  /// Reads every byte under the plan once: the attention of one decode step.
  virtual StreamResult decode_read(const Memory& memory, const PagePlan& plan,
                                   const std::string& variant) = 0;

  /// Reads every byte under `index`, then every byte under `rows`: a sparse attention streams its
  /// index and gathers the rows that it picked. The variant is that of the rows.
  virtual StreamResult sparse_read(const Memory& memory, const PagePlan& index,
                                   const PagePlan& rows, const std::string& variant) = 0;

  /// Writes the rows of `source`, [rows, sum of the segments' row_bytes], which must not overlap
  /// what the plan writes.
  virtual StreamResult append(Memory& memory, const SlotPlan& plan, const Source& source,
                              const std::string& variant) = 0;

  /// Updates every element under the plan in place. Throws std::invalid_argument when the plan
  /// overlaps itself or a row does not hold whole elements.
  virtual StreamResult state_update(Memory& memory, const PagePlan& plan, const Update& update,
                                    const std::string& variant) = 0;

  /// Copies pages within a memory: the fork of a sequence. Throws std::invalid_argument when a byte
  /// would be both read and written.
  virtual StreamResult block_copy(Memory& memory, const CopyPlan& plan,
                                  const std::string& variant) = 0;

  /// Copies pages from one memory to another: preemption by swapping, one way. Bytes of a host that
  /// is not the device do not count.
  virtual StreamResult swap(const Memory& from, Memory& to, const CopyPlan& plan,
                            const std::string& variant) = 0;

  /// Writes zeros to every byte under the plan. Throws std::invalid_argument when it overlaps
  /// itself.
  virtual StreamResult zero(Memory& memory, const PagePlan& plan, const std::string& variant) = 0;

  /// Ways to run a ceiling on this device. The ceiling is that of the fastest.
  virtual std::vector<std::string> ceiling_variants(Ceiling kind) const = 0;

  /// One contiguous pass: read sums the bytes, write overwrites them with a nonzero pattern, copy
  /// copies the first half to the second, rmw adds to every 64-bit word in place.
  virtual StreamResult ceiling(Memory& memory, Ceiling kind, const std::string& variant,
                               std::int64_t offset_bytes, std::int64_t nbytes) = 0;
};

}  // namespace kvprof
