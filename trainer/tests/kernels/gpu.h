// As much of CUDA C++ and of gpu.cuh as fused.cu and attention.cu use, on a CPU: the threads of a block are fibers, which take turns where they wait for one another, in an
// order drawn from a seed. What depends on their order, or wants a wait that is missing, comes out differently from order to order.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
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
struct alignas(16) int4 {
  int x, y, z, w;
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
  std::vector<std::function<void()>> copies;
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
  // Copies behind a thread's back may be made when they are asked for, or not before they are waited for.
  bool copies_are_late;
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
  block.copies_are_late = block.order() % 2 == 0;
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

inline bool __any_sync(unsigned mask, bool v) {
  if (mask != 0xFFFFFFFFu)
    gpu::fail("a vote of part of a warp");
  gpu::block.shown[gpu::block.running][0] = v;
  gpu::wait(gpu::State::AT_WARP);
  bool any = false;
  for (size_t lane = 0; lane < 32; ++lane)
    any |= shown(lane)[0] != 0;
  gpu::wait(gpu::State::AT_WARP);
  return any;
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
inline float power_of_two(float x) { return std::exp2(x); }
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

inline unsigned signs_of_low(unsigned word) { return (word & 0x80u ? 0xFFFFu : 0) | (word & 0x8000u ? 0xFFFF0000u : 0); }
inline unsigned signs_of_high(unsigned word) { return signs_of_low(word >> 16); }

inline void copy_async(void *to, const void *from, bool there, size_t bytes) {
  if ((reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % bytes != 0)
    gpu::fail("a copy that is not aligned");
  auto copy = [=] { there ? std::memcpy(to, from, bytes) : std::memset(to, 0, bytes); };
  if (gpu::block.copies_are_late)
    gpu::block.threads[gpu::block.running].copies.push_back(copy);
  else
    copy();
}
inline void copy_async_16(void *to, const void *from, bool there) { copy_async(to, from, there, 16); }
inline void copy_async_4(void *to, const void *from, bool there) { copy_async(to, from, there, 4); }
inline void copied() {
  auto &copies = gpu::block.threads[gpu::block.running].copies;
  for (const auto &copy : copies)
    copy();
  copies.clear();
}

inline void load_matrices(unsigned (&to)[4], const bfloat16 *row, bool transposed) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0)
    gpu::fail("a row of a matrix that is not aligned");
  std::memcpy(&gpu::block.shown[gpu::block.running][0], &row, sizeof row);
  gpu::wait(gpu::State::AT_WARP);
  size_t lane = gpu::block.running % 32;
  for (size_t matrix = 0; matrix < 4; ++matrix) {
    auto at = [&](size_t row, size_t column) {
      const bfloat16 *place;
      std::memcpy(&place, &shown(8 * matrix + row)[0], sizeof place);
      return static_cast<unsigned>(place[column]);
    };
    size_t one = lane / 4, other = lane % 4 * 2;
    to[matrix] = transposed ? at(other, one) | at(other + 1, one) << 16 : at(one, other) | at(one, other + 1) << 16;
  }
  gpu::wait(gpu::State::AT_WARP);
}
inline void load_matrices(unsigned (&to)[4], const bfloat16 *row) { load_matrices(to, row, false); }
inline void load_matrices_transposed(unsigned (&to)[4], const bfloat16 *row) { load_matrices(to, row, true); }

inline void multiply_add(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  gpu::block.shown[gpu::block.running] = {a[0], a[1], a[2], a[3], b0, b1};
  gpu::wait(gpu::State::AT_WARP);
  size_t lane = gpu::block.running % 32;
  auto half = [](unsigned pair, size_t which) { return __uint_as_float(which ? pair & 0xFFFF0000u : pair << 16); };
  for (size_t i = 0; i < 4; ++i) {
    size_t row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    for (size_t k = 0; k < 16; ++k) {
      float left = half(shown(row % 8 * 4 + k % 8 / 2)[row / 8 + k / 8 * 2], k % 2);
      float right = half(shown(column * 4 + k % 8 / 2)[4 + k / 8], k % 2);
      c[i] += left * right;
    }
  }
  gpu::wait(gpu::State::AT_WARP);
}
