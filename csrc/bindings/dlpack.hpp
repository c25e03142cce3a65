// DLPack's structs (version 0 of its protocol, https://dmlc.github.io/dlpack), as far as a vector
// of bytes needs them.
#pragma once
#include <cstdint>

namespace kvprof::dlpack {

enum DeviceType : std::int32_t { cpu = 1, cuda = 2, cuda_host = 3 };

struct Device {
  std::int32_t device_type;
  std::int32_t device_id;
};

struct DataType {
  std::uint8_t code;  ///< 1: unsigned integers
  std::uint8_t bits;
  std::uint16_t lanes;
};

struct Tensor {
  void* data;
  Device device;
  std::int32_t ndim;
  DataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;
  std::uint64_t byte_offset;
};

struct ManagedTensor {
  Tensor tensor;
  void* context;
  void (*deleter)(ManagedTensor*);
};

}  // namespace kvprof::dlpack
