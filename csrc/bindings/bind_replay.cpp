// The replay of requests through an allocation policy, as kvprof._core shows it.
#include <pybind11/stl.h>

#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arguments.hpp"
#include "bindings/bind.hpp"
#include "bindings/policy_object.hpp"
#include "bindings/replay_results.hpp"
#include "core/replay/blocks_policy.hpp"
#include "core/replay/replay.hpp"

namespace py = pybind11;

namespace kvprof {
namespace {

// The replay with a flag, guarded by the GIL, that is set while it works without it.
struct ReplayObject {
  Replay core;
  bool busy = false;

  Replay& idle() {
    if (busy) throw std::runtime_error("the replay runs on another thread");
    return core;
  }
};

bool interrupted() {
  const py::gil_scoped_acquire gil;
  return PyErr_CheckSignals() != 0;
}

template <typename Work>
void run(ReplayObject& replay, const Work& work) {
  Replay& core = replay.idle();
  struct Busy {
    explicit Busy(bool& flag) : flag_(flag) { flag_ = true; }
    ~Busy() { flag_ = false; }
    bool& flag_;
  };
  {
    const Busy busy(replay.busy);
    const py::gil_scoped_release no_gil;
    work(core);
  }
  if (PyErr_Occurred()) throw py::error_already_set();
}

void feed(ReplayObject& replay, const py::array_t<double, py::array::c_style>& arrivals,
          const py::object& prompts, const py::object& outputs, const py::object& offsets,
          const py::object& hash_values) {
  const auto arrival_s = one_dimensional("arrival_s", arrivals);
  const auto prompt_tokens = integers<std::int64_t>("prompt_tokens", prompts);
  const auto output_tokens = integers<std::int64_t>("output_tokens", outputs);
  const auto hash_offsets = integers<std::int64_t>("hash_offsets", offsets);
  if (!py::isinstance<Array<std::uint64_t>>(hash_values)) {
    throw py::type_error("hashes must be an array of uint64");
  }
  const auto hashes = one_dimensional("hashes", hash_values.cast<Array<std::uint64_t>>());
  const RequestBatch batch{view(arrival_s), view(prompt_tokens), view(output_tokens),
                           view(hash_offsets), view(hashes)};
  run(replay, [&](Replay& core) { core.feed(batch, interrupted); });
}

py::dict counts(ReplayObject& replay) {
  const ReplayCounts& c = replay.idle().counts();
  py::dict result;
  result["total"] = c.total;
  result["completed"] = c.completed;
  result["rejected"] = c.rejected;
  result["too_long"] = c.too_long;
  result["preemptions"] = c.preemptions;
  result["recomputed_tokens"] = c.recomputed_tokens;
  result["swapped_bytes"] = c.swapped_bytes;
  result["appended_tokens"] = c.appended_tokens;
  result["hit_tokens"] = c.hit_tokens;
  result["queried_tokens"] = c.queried_tokens;
  result["most_live"] = c.most_live;
  result["decode_steps"] = c.decode_steps;
  result["decode_ticks"] = c.decode_ticks;
  result["ticks"] = replay.core.series().ticks();
  result["operations"] = replay.core.policy().operations();
  return result;
}

BlocksPolicy& blocks_of(ReplayObject& replay) {
  auto* policy = dynamic_cast<BlocksPolicy*>(&replay.idle().policy());
  if (policy == nullptr) throw py::type_error("only a policy of blocks has block tables");
  return *policy;
}

std::size_t place(const char* what, const py::object& index, std::size_t count) {
  return static_cast<std::size_t>(integer(what, index, 0, static_cast<std::int64_t>(count) - 1));
}

py::array_t<std::int64_t> live_tokens(ReplayObject& replay) {
  std::vector<std::int64_t> tokens;
  for (const LiveSequence& each : replay.idle().live()) tokens.push_back(each.tokens);
  return array_of(tokens);
}

py::list block_tables(ReplayObject& replay, const py::object& group) {
  const BlocksPolicy& policy = blocks_of(replay);
  const std::size_t index = place("group", group, policy.num_groups());
  py::list tables;
  for (const LiveSequence& each : replay.idle().live()) {
    tables.append(array_of(policy.table(each.slot, index)));
  }
  return tables;
}

Array<BlockId> take_all(ReplayObject& replay, const py::object& pool) {
  BlocksPolicy& policy = blocks_of(replay);
  return array_of(policy.take_all(place("pool", pool, policy.num_pools())));
}

MoveRule make_move(const CacheRule& cache, const py::object& most_rows, bool appends) {
  const std::int64_t most =
      most_rows.is_none() ? never : integer("most_rows", most_rows, 0, most_count);
  return {cache, most, appends};
}

ReplayObject make_replay(PolicyObject& policy, double ticks_per_s, const py::object& step_ticks,
                         std::vector<MoveRule> moves, const py::object& encoder_tokens,
                         double prefill_tokens_per_s, const std::string& preemption,
                         const py::object& longest_tokens, bool jumps,
                         const py::object& most_samples, const py::object& until_tick,
                         const py::object& until_completed) {
  static const std::map<std::string, Preemption> preemptions{{"recompute", Preemption::recompute},
                                                             {"swap", Preemption::swap}};
  ReplayOptions options;
  options.ticks_per_s = ticks_per_s;
  options.step_ticks = integer("step_ticks", step_ticks, 0, most_bytes);
  options.traffic = {std::move(moves), integer("encoder_tokens", encoder_tokens, 0, most_count)};
  options.prefill_tokens_per_s = prefill_tokens_per_s;
  options.preemption = named("preemption", preemptions, preemption);
  if (!longest_tokens.is_none()) {
    options.longest_tokens = integer("longest_tokens", longest_tokens, 0, never);
  }
  options.jumps = jumps;
  if (!until_tick.is_none()) options.until_tick = integer("until_tick", until_tick, 0, never);
  if (!until_completed.is_none()) {
    options.until_completed = integer("until_completed", until_completed, 0, never);
  }
  options.most_samples =
      static_cast<std::size_t>(integer("most_samples", most_samples, 2, std::int64_t{1} << 24));
  return {Replay(policy.take(), options)};
}

}  // namespace

void bind_replay(py::module_& module) {
  module.attr("REPLAY_COLUMNS") = py::tuple(py::cast(replay_columns()));
  py::class_<MoveRule>(module, "MoveRule", py::is_final(),
                       "Rows of a cache that a step of decoding moves.")
      .def(py::init(&make_move), py::arg("cache"), py::kw_only(), py::arg("most_rows") = py::none(),
           py::arg("appends") = false);
  py::class_<ReplayObject>(module, "Replay", py::is_final(),
                           "Requests through an allocation policy.")
      .def(py::init(&make_replay), py::arg("policy"), py::kw_only(), py::arg("ticks_per_s"),
           py::arg("step_ticks") = 1, py::arg("moves") = std::vector<MoveRule>{},
           py::arg("encoder_tokens") = 0, py::arg("prefill_tokens_per_s") = 0.0,
           py::arg("preemption") = "recompute", py::arg("longest_tokens") = py::none(),
           py::arg("jumps") = true, py::arg("most_samples") = 2048,
           py::arg("until_tick") = py::none(), py::arg("until_completed") = py::none())
      .def("feed", &feed, py::kw_only(), py::arg("arrival_s"), py::arg("prompt_tokens"),
           py::arg("output_tokens"), py::arg("hash_offsets"), py::arg("hashes"))
      .def(
          "finish",
          [](ReplayObject& replay) { run(replay, [](Replay& core) { core.finish(interrupted); }); })
      .def_property_readonly("counts", &counts)
      .def_property_readonly(
          "fullest", [](ReplayObject& replay) { return as_dict(replay.idle().series().fullest()); })
      .def_property_readonly("now",
                             [](ReplayObject& replay) { return as_dict(replay.idle().now()); })
      .def_property_readonly("stopped",
                             [](ReplayObject& replay) { return replay.idle().stopped(); })
      .def_property_readonly("live_tokens", &live_tokens)
      .def("block_tables", &block_tables, py::arg("group"))
      .def("release_all", [](ReplayObject& replay) { replay.idle().release_all(); })
      .def("take_all", &take_all, py::arg("pool"))
      .def_property_readonly("means",
                             [](ReplayObject& replay) { return means_of(replay.idle().series()); })
      .def_property_readonly(
          "pools", [](ReplayObject& replay) { return pools_of(replay.idle().occupancy()); })
      .def_property_readonly(
          "groups", [](ReplayObject& replay) { return groups_of(replay.idle().occupancy()); })
      .def_property_readonly(
          "samples", [](ReplayObject& replay) { return samples_of(replay.idle().series()); });
}

}  // namespace kvprof
