#include "ebert_nccl.h"

#include <cstdlib>
#include <utility>

#define USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

extern "C" __attribute__((visibility("default"))) c10::intrusive_ptr<c10d::Backend>
ebert_make_nccl(const c10::intrusive_ptr<c10d::Store> &store, int rank, int size, std::chrono::milliseconds timeout) {
  // If a rank is lost, this one should end soon. By default libtorch first waits for a record of
  // all collective operations. Variables that the user sets stay.
  for (auto [name, value] : {std::pair("TORCH_NCCL_WAIT_TIMEOUT_DUMP_MILSEC", "500"), {"TORCH_NCCL_DUMP_ON_TIMEOUT", "0"}})
    setenv(name, value, /*overwrite=*/0);
  if (std::getenv("TORCH_NCCL_TRACE_BUFFER_SIZE") == nullptr) // The older name of the next.
    setenv("TORCH_FR_BUFFER_SIZE", "0", /*overwrite=*/0);
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = timeout;
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, options);
}
