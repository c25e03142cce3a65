// What the CUDA driver says of this machine's devices. Nothing here needs a driver to be present.
#pragma once
#include <optional>
#include <string>

#include "device/backend.hpp"

namespace kvprof::cuda {

struct CudaVersion {
  int major;
  int minor;
};

/// The runtime that this module was built with.
CudaVersion runtime_version();

/// The newest CUDA that the installed driver serves; none without a driver.
std::optional<CudaVersion> driver_version();

/// Why no device can be used, in plain words; none when one can.
std::optional<std::string> unavailable_reason();

/// Devices that can be used, 0 when none can.
int device_count();

/// Facts from the driver's attributes. The bus peak is 2 (double data rate) x memory clock x bus
/// width; none when the driver does not tell these. Throws std::out_of_range when there is no such
/// device, std::runtime_error when the driver refuses.
DeviceFacts device_facts(int index);

/// Throws std::out_of_range that says why when there is no such device.
void require_device(int index);

}  // namespace kvprof::cuda
