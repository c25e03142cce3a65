// The emulated devices, and which of them is current in the calling thread.
#pragma once
#include <cstddef>

namespace emulated {

constexpr int kMostDevices = 2;

/// None where the driver is too old or hides them.
int device_count();
bool is_device(int index);

/// A thread starts with device 0.
int current_device();

/// The calling thread gets a context of its current device, as by the first call of the runtime
/// that needs one. The driver's functions refuse a thread without.
void bind_context();
bool has_context();

/// What the driver's context stack does: the device becomes current, with its context, until the
/// pop; false where there is nothing to pop.
void push_context(int index);
bool pop_context();

}  // namespace emulated
