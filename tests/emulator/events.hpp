// Events: the moments at which a stream comes to a record.
#pragma once
#include <cstddef>

namespace emulated {

std::size_t event_count();

}  // namespace emulated
