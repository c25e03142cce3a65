// NVTX ranges as lines of a file: "<domain> push <message> <payload>" and "<domain> pop".
#include <nvtx3/nvToolsExt.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <string>

struct nvtxDomainRegistration_st {
  std::string name;
};

namespace {

struct Domains {
  std::mutex mutex;
  std::map<std::string, std::unique_ptr<nvtxDomainRegistration_st>> by_name;
};

Domains& domains() {
  static Domains& all = *new Domains;
  return all;
}

thread_local std::map<nvtxDomainHandle_t, int> depths;

void write(const std::string& line) {
  const char* path = std::getenv("KVPROF_EMULATED_NVTX");
  if (path == nullptr || *path == '\0') return;
  const std::lock_guard lock(domains().mutex);
  std::ofstream(path, std::ios::app) << line << '\n';
}

std::string text(const nvtxEventAttributes_t& event) {
  const bool named = event.messageType == NVTX_MESSAGE_TYPE_ASCII && event.message.ascii;
  const bool counted = event.payloadType == NVTX_PAYLOAD_TYPE_UNSIGNED_INT64;
  return std::string(named ? event.message.ascii : "-") + " " +
         (counted ? std::to_string(event.payload.ullValue) : "-");
}

}  // namespace

extern "C" {

nvtxDomainHandle_t nvtxDomainCreateA(const char* name) {
  const std::lock_guard lock(domains().mutex);
  auto& domain = domains().by_name[name];
  if (!domain) domain.reset(new nvtxDomainRegistration_st{name});
  return domain.get();
}

int nvtxDomainRangePushEx(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* eventAttrib) {
  if (domain == nullptr || eventAttrib->version != NVTX_VERSION) return NVTX_NO_PUSH_POP_TRACKING;
  write(domain->name + " push " + text(*eventAttrib));
  return depths[domain]++;
}

int nvtxDomainRangePop(nvtxDomainHandle_t domain) {
  if (domain == nullptr || depths[domain] == 0) return NVTX_NO_PUSH_POP_TRACKING;
  write(domain->name + " pop");
  return --depths[domain];
}

}  // extern "C"
