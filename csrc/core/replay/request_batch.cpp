// What a batch of requests must be.
#include "core/replay/request_batch.hpp"

#include <stdexcept>
#include <string>

namespace kvprof {
namespace {

[[noreturn]] void refuse(const char* what, std::size_t request, const std::string& value) {
  throw std::invalid_argument(std::string(what) + ": got " + value + " for request " +
                              std::to_string(request));
}

}  // namespace

void validate(const RequestBatch& batch, double earlier_s, double end_s) {
  const std::size_t count = batch.arrival_s.size;
  if (batch.prompt_tokens.size != count || batch.output_tokens.size != count ||
      batch.hash_offsets.size != count + 1) {
    throw std::invalid_argument("the arrays of a batch must be of one length");
  }
  std::int64_t offset = batch.hash_offsets[0];
  const auto hashes = static_cast<std::int64_t>(batch.hashes.size);
  for (std::size_t i = 0; i < count; ++i) {
    const double arrival = batch.arrival_s[i];
    const std::int64_t prompt = batch.prompt_tokens[i];
    const std::int64_t output = batch.output_tokens[i];
    if (!(arrival >= earlier_s)) {
      refuse("arrivals must ascend from 0", i, std::to_string(arrival));
    }
    if (!(arrival < end_s)) {
      refuse("arrivals must be before the clock ends", i, std::to_string(arrival));
    }
    if (prompt < 0 || prompt > most_request_tokens) {
      refuse("prompt_tokens must be 0 to 2**32", i, std::to_string(prompt));
    }
    if (output < 0 || output > most_request_tokens) {
      refuse("output_tokens must be 0 to 2**32", i, std::to_string(output));
    }
    const std::int64_t next = batch.hash_offsets[i + 1];
    if (offset < 0 || next < offset || next > hashes) {
      refuse("hash_offsets must ascend within the hashes", i, std::to_string(next));
    }
    earlier_s = arrival;
    offset = next;
  }
}

}  // namespace kvprof
