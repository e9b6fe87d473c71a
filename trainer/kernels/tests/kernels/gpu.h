// As much of CUDA C++ and of gpu.cuh as fused.cu uses, on a CPU. The threads of a block are
// fibers, which take turns at barriers in an order drawn from a seed. A kernel that depends on
// their order, or lacks a barrier, gives another result from order to order.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include <ucontext.h>

#define __global__
#define __device__
#define __launch_bounds__(...)
// Blocks run one after another.
#define __shared__ static

struct Dim {
  unsigned x, y, z;
};
// Aligned as on a GPU, so that the sanitizer sees an address that a GPU would refuse.
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

namespace gpu {

[[noreturn]] inline void fail(const char *what) {
  std::fprintf(stderr, "on a GPU this would hang or be undefined: %s\n", what);
  std::abort();
}

enum class State { READY, AT_WARP, AT_BLOCK, ENDED };

struct Thread {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  State state;
  Dim place;
};

// One block at a time.
struct Block {
  static constexpr size_t STACK = 1 << 16;
  ucontext_t scheduler;
  std::vector<Thread> threads;
  // What a thread shows to its warp.
  std::vector<std::array<uint32_t, 6>> shown;
  size_t running = 0;
  void (*body)(void *) = nullptr;
  void *arguments = nullptr;
  std::minstd_rand order;
};
inline Block block;

inline Dim threadIdx, blockIdx, gridDim;

// Lets others run until all threads of the warp or of the block that have not ended are here.
inline void wait(State at) {
  Thread &self = block.threads[block.running];
  self.state = at;
  swapcontext(&self.context, &block.scheduler);
}

inline void enter() {
  block.body(block.arguments);
  block.threads[block.running].state = State::ENDED;
  swapcontext(&block.threads[block.running].context, &block.scheduler);
}

// Frees those who wait for one another, where all have come. Gives whether there were any.
inline bool release(size_t first, size_t end, State at) {
  size_t waiting = 0, ended = 0;
  for (size_t i = first; i < end; ++i) {
    waiting += block.threads[i].state == at;
    ended += block.threads[i].state == State::ENDED;
  }
  if (waiting == 0 || waiting + ended < end - first)
    return false;
  if (at == State::AT_WARP && ended > 0)
    fail("a warp exchanges numbers after some of its threads have ended");
  for (size_t i = first; i < end; ++i)
    if (block.threads[i].state == at)
      block.threads[i].state = State::READY;
  return true;
}

inline void run_block(Dim threads) {
  size_t many = static_cast<size_t>(threads.x) * threads.y * threads.z;
  if (many % 32 != 0)
    fail("a block that is not of whole warps");
  if (block.threads.size() < many)
    block.threads.resize(many);
  block.shown.resize(many);
  for (size_t i = 0; i < many; ++i) {
    Thread &thread = block.threads[i];
    if (!thread.stack)
      thread.stack.reset(new char[Block::STACK]);
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack.get();
    thread.context.uc_stack.ss_size = Block::STACK;
    thread.context.uc_link = nullptr;
    makecontext(&thread.context, enter, 0);
    thread.state = State::READY;
    unsigned linear = static_cast<unsigned>(i);
    thread.place = {linear % threads.x, linear / threads.x % threads.y, linear / threads.x / threads.y};
  }
  // The first warp of a drawn order that can run does, so that some are far ahead of others.
  std::vector<size_t> warps(many / 32);
  for (size_t i = 0; i < warps.size(); ++i)
    warps[i] = 32 * i;
  auto runs = [](size_t warp) {
    std::array<size_t, 32> ready;
    size_t count = 0;
    for (size_t i = warp; i < warp + 32; ++i)
      if (block.threads[i].state == State::READY)
        ready[count++] = i;
    std::shuffle(ready.begin(), ready.begin() + count, block.order);
    for (size_t i = 0; i < count; ++i) {
      block.running = ready[i];
      threadIdx = block.threads[ready[i]].place;
      swapcontext(&block.scheduler, &block.threads[ready[i]].context);
    }
    release(warp, warp + 32, State::AT_WARP);
    return count > 0;
  };
  do {
    std::shuffle(warps.begin(), warps.end(), block.order);
    while (std::any_of(warps.begin(), warps.end(), runs)) {
    }
  } while (release(0, many, State::AT_BLOCK));
  for (size_t i = 0; i < many; ++i)
    if (block.threads[i].state != State::ENDED)
      fail("threads wait for others that do not come");
}

template <typename... A, size_t... I> void call(void (*kernel)(A...), void **arguments, std::index_sequence<I...>) {
  kernel(*static_cast<std::decay_t<A> *>(arguments[I])...);
}
template <typename... A> void call(void (*kernel)(A...), void **arguments) {
  call(kernel, arguments, std::index_sequence_for<A...>());
}

} // namespace gpu

using gpu::blockIdx;
using gpu::gridDim;
using gpu::threadIdx;

inline void __syncthreads() { gpu::wait(gpu::State::AT_BLOCK); }

// What another thread of the warp shows, once all of them do.
inline const std::array<uint32_t, 6> &shown(size_t lane) { return gpu::block.shown[gpu::block.running / 32 * 32 + lane]; }

inline float __shfl_xor_sync(unsigned mask, float v, int other) {
  if (mask != 0xFFFFFFFFu)
    gpu::fail("a shuffle of part of a warp");
  std::memcpy(&gpu::block.shown[gpu::block.running][0], &v, 4);
  gpu::wait(gpu::State::AT_WARP);
  float theirs;
  std::memcpy(&theirs, &shown((gpu::block.running ^ static_cast<size_t>(other)) % 32)[0], 4);
  gpu::wait(gpu::State::AT_WARP);
  return theirs;
}

inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32); }
inline float __uint_as_float(unsigned bits) {
  float v;
  std::memcpy(&v, &bits, 4);
  return v;
}
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
using std::min;

typedef unsigned short bfloat16;
typedef unsigned long long u64;

// To the nearest, ties to even; not a number stays so.
inline unsigned two(float low, float high) {
  auto nearest = [](float v) -> unsigned {
    unsigned bits;
    std::memcpy(&bits, &v, 4);
    return std::isnan(v) ? 0x7FFFu : (bits + 0x7FFFu + (bits >> 16 & 1)) >> 16;
  };
  return nearest(high) << 16 | nearest(low);
}
