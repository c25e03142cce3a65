// Ranges of NVTX in a domain, written to the file that KVPROF_EMULATED_NVTX names.
#pragma once
#include <cstddef>
#include <cstdint>

#define NVTX_VERSION 3
#define NVTX_EVENT_ATTRIB_STRUCT_SIZE (static_cast<uint16_t>(sizeof(nvtxEventAttributes_t)))
#define NVTX_NO_PUSH_POP_TRACKING (-2)

typedef enum nvtxMessageType_t { NVTX_MESSAGE_TYPE_ASCII = 1 } nvtxMessageType_t;
typedef enum nvtxPayloadType_t { NVTX_PAYLOAD_TYPE_UNSIGNED_INT64 = 1 } nvtxPayloadType_t;

typedef struct nvtxDomainRegistration_st* nvtxDomainHandle_t;

typedef union nvtxMessageValue_t {
  const char* ascii;
} nvtxMessageValue_t;

typedef struct nvtxEventAttributes_v2 {
  uint16_t version;
  uint16_t size;
  uint32_t category;
  int32_t colorType;
  uint32_t color;
  int32_t payloadType;
  int32_t reserved0;
  union payload_t {
    uint64_t ullValue;
  } payload;
  int32_t messageType;
  nvtxMessageValue_t message;
} nvtxEventAttributes_v2;
typedef struct nvtxEventAttributes_v2 nvtxEventAttributes_t;

extern "C" {
nvtxDomainHandle_t nvtxDomainCreateA(const char* name);
int nvtxDomainRangePushEx(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* eventAttrib);
int nvtxDomainRangePop(nvtxDomainHandle_t domain);
}
