// How fast the core that this thread runs on is clocked just now.
#pragma once

namespace kvprof {

/// Hertz, from a chain of multiplications that each wait for the one before: the best of a few
/// tries of some microseconds. It takes a multiplication to last three cycles, as on x86-64 since
/// 2008; elsewhere it is good for comparing with itself.
double core_clock_hz();

}  // namespace kvprof
