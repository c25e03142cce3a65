// Plans of allocation policies, as kvprof._core shows them.
#include <pybind11/stl.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arguments.hpp"
#include "bindings/bind.hpp"
#include "bindings/policy_object.hpp"
#include "core/replay/blocks_policy.hpp"
#include "core/replay/grow_policy.hpp"
#include "core/replay/request_batch.hpp"
#include "core/replay/reserve_policy.hpp"

namespace py = pybind11;

namespace kvprof {
namespace {

constexpr std::int64_t most_layers = std::int64_t{1} << 20;

std::int64_t count(const char* name, const py::handle& value, std::int64_t least = 0) {
  return integer(name, value, least, most_count);
}

std::int64_t bytes(const char* name, const py::handle& value, std::int64_t least = 0) {
  return integer(name, value, least, most_bytes);
}

CacheRule make_rule(const std::string& keep, const py::object& keep_entries,
                    const std::string& clock, const py::object& entry_tokens,
                    const py::object& row_bytes, const py::object& begins_at) {
  static const std::map<std::string, Keep> keeps{{"all", Keep::all},
                                                 {"last", Keep::last},
                                                 {"chunk", Keep::chunk},
                                                 {"tail", Keep::tail},
                                                 {"once", Keep::once}};
  static const std::map<std::string, Clock> clocks{
      {"decoder", Clock::decoder}, {"encoder", Clock::encoder}, {"sequence", Clock::sequence}};
  const Keep kept = named("keep", keeps, keep);
  const bool sized = kept != Keep::all && kept != Keep::once;
  return {kept,
          count("keep_entries", keep_entries, sized ? 1 : 0),
          named("clock", clocks, clock),
          count("entry_tokens", entry_tokens, 1),
          bytes("row_bytes", row_bytes),
          count("begins_at", begins_at)};
}

PartPlan make_part(const CacheRule& cache, const py::object& rows_per_block,
                   const py::object& base_rows, const py::object& padding_bytes,
                   const py::object& ring_rows) {
  return {cache, count("rows_per_block", rows_per_block, 1), count("base_rows", base_rows),
          bytes("padding_bytes", padding_bytes), count("ring_rows", ring_rows)};
}

HoldingPlan make_holding(const py::object& lookahead_tokens, const py::object& longest_tokens,
                         const py::object& retained_tokens, const py::object& window_step,
                         const py::object& state_blocks) {
  return {true,
          count("lookahead_tokens", lookahead_tokens),
          count("longest_tokens", longest_tokens),
          count("retained_tokens", retained_tokens),
          count("window_step", window_step),
          count("state_blocks", state_blocks)};
}

GroupPlan make_group(const CacheRule& rule, const std::vector<PartPlan>& parts,
                     const py::object& rows_per_block, const py::object& block_tokens,
                     const py::object& row_units, const py::object& filler_bytes,
                     const HoldingPlan* holding, const py::object& pool,
                     const py::object& ids_per_block, const std::vector<CacheRule>& logical,
                     bool checkpoints) {
  GroupPlan group;
  group.rule = rule;
  group.parts = parts;
  group.rows_per_block = count("rows_per_block", rows_per_block, 1);
  group.block_tokens = count("block_tokens", block_tokens, 1);
  group.row_units = count("row_units", row_units, 1);
  group.filler_bytes = bytes("filler_bytes", filler_bytes);
  if (holding != nullptr) group.holding = *holding;
  group.pool = static_cast<std::size_t>(count("pool", pool));
  group.ids_per_block = count("ids_per_block", ids_per_block, 1);
  group.logical = logical;
  group.checkpoints = checkpoints;
  return group;
}

PoolPlan make_pool(const py::object& num_blocks, const py::object& block_bytes,
                   const py::object& reserved_blocks) {
  return {count("num_blocks", num_blocks), bytes("block_bytes", block_bytes, 1),
          count("reserved_blocks", reserved_blocks)};
}

PolicyObject blocks_policy(const std::vector<GroupPlan>& groups, const std::vector<PoolPlan>& pools,
                           const std::vector<CacheRule>& logical, const py::object& capacity_bytes,
                           const py::object& encoder_tokens, const py::object& prefix_tokens,
                           const py::object& prefix_step) {
  BlocksPlan plan{groups,
                  pools,
                  {logical},
                  bytes("capacity_bytes", capacity_bytes),
                  count("encoder_tokens", encoder_tokens),
                  integer("prefix_tokens", prefix_tokens, 0, most_request_tokens),
                  count("prefix_step", prefix_step)};
  return {std::make_unique<BlocksPolicy>(std::move(plan))};
}

PolicyObject reserve_policy(const std::vector<CacheRule>& kept,
                            const std::vector<CacheRule>& logical, const std::string& reserve,
                            const std::string& fit, const py::object& unit_bytes,
                            const py::object& longest_tokens, const py::object& capacity_bytes,
                            const py::object& encoder_tokens) {
  static const std::map<std::string, Reserve> reserves{
      {"max", Reserve::most}, {"pow2", Reserve::pow2}, {"oracle", Reserve::oracle}};
  static const std::map<std::string, Fit> fits{{"buddy", Fit::buddy}, {"first_fit", Fit::first}};
  ReservePlan plan{kept,
                   {logical},
                   named("reserve", reserves, reserve),
                   named("fit", fits, fit),
                   bytes("unit_bytes", unit_bytes, 1),
                   count("longest_tokens", longest_tokens),
                   bytes("capacity_bytes", capacity_bytes),
                   count("encoder_tokens", encoder_tokens)};
  return {std::make_unique<ReservePolicy>(std::move(plan))};
}

PolicyObject grow_policy(const std::vector<std::pair<CacheRule, py::object>>& tensors,
                         const std::vector<CacheRule>& logical, const py::object& unit_bytes,
                         const py::object& capacity_bytes, const py::object& encoder_tokens) {
  GrowPlan plan;
  for (const auto& [cache, layers] : tensors) {
    plan.tensors.push_back({cache, integer("layers", layers, 0, most_layers)});
  }
  plan.logical = {logical};
  plan.unit_bytes = bytes("unit_bytes", unit_bytes, 1);
  plan.capacity_bytes = bytes("capacity_bytes", capacity_bytes);
  plan.encoder_tokens = count("encoder_tokens", encoder_tokens);
  return {std::make_unique<GrowPolicy>(std::move(plan))};
}

void bind_rules(py::module_& module) {
  py::class_<CacheRule>(module, "CacheRule", py::is_final(), "Which entries of a cache are needed.")
      .def(py::init(&make_rule), py::kw_only(), py::arg("keep") = "all",
           py::arg("keep_entries") = 0, py::arg("clock") = "decoder", py::arg("entry_tokens") = 1,
           py::arg("row_bytes"), py::arg("begins_at") = 0);
  py::class_<PartPlan>(module, "ReplayPart", py::is_final(), "The pages of one cache in a group.")
      .def(py::init(&make_part), py::kw_only(), py::arg("cache"), py::arg("rows_per_block"),
           py::arg("base_rows") = 0, py::arg("padding_bytes") = 0, py::arg("ring_rows") = 0);
  py::class_<HoldingPlan>(module, "ReplayHolding", py::is_final(),
                          "What an engine holds beside the rows that are needed.")
      .def(py::init(&make_holding), py::kw_only(), py::arg("lookahead_tokens"),
           py::arg("longest_tokens"), py::arg("retained_tokens"), py::arg("window_step"),
           py::arg("state_blocks"));
  py::class_<GroupPlan>(module, "ReplayGroup", py::is_final(), "Layers that share a block table.")
      .def(py::init(&make_group), py::kw_only(), py::arg("rule"), py::arg("parts"),
           py::arg("rows_per_block"), py::arg("block_tokens"), py::arg("row_units") = 1,
           py::arg("filler_bytes") = 0, py::arg("holding") = nullptr, py::arg("pool"),
           py::arg("ids_per_block") = 1, py::arg("logical") = std::vector<CacheRule>{},
           py::arg("checkpoints") = false);
  py::class_<PoolPlan>(module, "ReplayPool", py::is_final(), "Blocks of one size.")
      .def(py::init(&make_pool), py::kw_only(), py::arg("num_blocks"), py::arg("block_bytes"),
           py::arg("reserved_blocks") = 0);
}

}  // namespace

void bind_policies(py::module_& module) {
  bind_rules(module);
  py::class_<PolicyObject>(module, "AllocationPolicy", py::is_final(),
                           "How memory is allocated; a replay takes it.");
  module.def("blocks_policy", &blocks_policy, py::kw_only(), py::arg("groups"), py::arg("pools"),
             py::arg("logical"), py::arg("capacity_bytes"), py::arg("encoder_tokens") = 0,
             py::arg("prefix_tokens") = 0, py::arg("prefix_step") = 0);
  module.def("reserve_policy", &reserve_policy, py::kw_only(), py::arg("kept"), py::arg("logical"),
             py::arg("reserve"), py::arg("fit"), py::arg("unit_bytes"), py::arg("longest_tokens"),
             py::arg("capacity_bytes"), py::arg("encoder_tokens") = 0);
  module.def("grow_policy", &grow_policy, py::kw_only(), py::arg("tensors"), py::arg("logical"),
             py::arg("unit_bytes"), py::arg("capacity_bytes"), py::arg("encoder_tokens") = 0);
}

}  // namespace kvprof
