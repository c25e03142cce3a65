// Ranges that NVIDIA's profilers show, in the domain `kvprof`. They cost nothing without one.
#pragma once
#include <nvtx3/nvToolsExt.h>

#include <cstdint>

namespace kvprof::cuda {

inline nvtxDomainHandle_t nvtx_domain() {
  static const nvtxDomainHandle_t domain = nvtxDomainCreateA("kvprof");
  return domain;
}

/// Opens a range; `nbytes` is its payload.
inline void push_range(const char* name, std::uint64_t nbytes) {
  nvtxEventAttributes_t attributes{};
  attributes.version = NVTX_VERSION;
  attributes.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  attributes.messageType = NVTX_MESSAGE_TYPE_ASCII;
  attributes.message.ascii = name;
  attributes.payloadType = NVTX_PAYLOAD_TYPE_UNSIGNED_INT64;
  attributes.payload.ullValue = nbytes;
  nvtxDomainRangePushEx(nvtx_domain(), &attributes);
}

inline void pop_range() { nvtxDomainRangePop(nvtx_domain()); }

/// A range while it lives.
class NvtxRange {
 public:
  NvtxRange(const char* name, std::int64_t nbytes) {
    push_range(name, static_cast<std::uint64_t>(nbytes));
  }
  ~NvtxRange() { pop_range(); }
  NvtxRange(const NvtxRange&) = delete;
  NvtxRange& operator=(const NvtxRange&) = delete;
};

}  // namespace kvprof::cuda
