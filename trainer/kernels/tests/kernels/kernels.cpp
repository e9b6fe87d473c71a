// fused.cu on a CPU, as a library.
#include "gpu.h"

#include "../../native/fused.cu"

namespace {
struct Entry {
  const char *name;
  void (*run)(void **arguments);
};
#define ENTRY(name) {#name, [](void **arguments) { gpu::call(name, arguments); }}
const Entry ENTRIES[] = {
    ENTRY(residual_norm), ENTRY(residual_norm_backward), ENTRY(bias_gelu),     ENTRY(bias_gelu_backward),
    ENTRY(column_sums),   ENTRY(add_parts),              ENTRY(cross_entropy), ENTRY(cross_entropy_backward),
};
} // namespace

// As cuLaunchKernel. `seed` decides the order in which threads run. Returns 1 if the function does
// not exist.
extern "C" __attribute__((visibility("default"))) int launch(const char *name, const unsigned *blocks, const unsigned *threads, void **arguments, unsigned seed) {
  for (const Entry &entry : ENTRIES) {
    if (std::strcmp(entry.name, name) != 0)
      continue;
    struct Work {
      const Entry *entry;
      void **arguments;
    } work = {&entry, arguments};
    gpu::block.body = [](void *work) { static_cast<Work *>(work)->entry->run(static_cast<Work *>(work)->arguments); };
    gpu::block.arguments = &work;
    gpu::block.order.seed(seed + 1);
    gpu::gridDim = {blocks[0], blocks[1], blocks[2]};
    for (unsigned z = 0; z < blocks[2]; ++z)
      for (unsigned y = 0; y < blocks[1]; ++y)
        for (unsigned x = 0; x < blocks[0]; ++x) {
          gpu::blockIdx = {x, y, z};
          gpu::run_block({threads[0], threads[1], threads[2]});
        }
    return 0;
  }
  return 1;
}
