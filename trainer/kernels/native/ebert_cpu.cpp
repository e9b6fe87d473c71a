// Training on a CPU: dropout drawn by all threads, and self-attention within each sequence of a
// packed row. libtorch draws dropout in one thread, and has no attention over packed rows on a
// CPU.
#include "guarded.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include <ATen/CPUFunctions.h>
#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

// Compiles a function for AVX2 too. The loader chooses the version that suits the CPU.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define WIDE __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define WIDE
#endif

namespace {

typedef uint32_t Lanes __attribute__((vector_size(32)));

// Numbers per draw.
constexpr int64_t BLOCK = 16;
constexpr int64_t blocks_of(int64_t numbers) { return (numbers + BLOCK - 1) / BLOCK; }

// The factors of dropout: 0 with a probability in steps of 1/65536, else a constant that keeps
// the mean. Eight generators run side by side (xoshiro128++, Blackman and Vigna 2018), seeded by
// (seed, stream). Each number takes sixteen bits.
class Dropout {
public:
  Dropout(double probability, int64_t seed)
      : seed(static_cast<uint64_t>(seed)), threshold(threshold_of(probability)),
        scale(threshold < 65536 ? static_cast<float>(65536.0 / (65536.0 - threshold)) : 0.0f) {}

  bool drops() const { return threshold > 0; }

  // Begins a stream. Neighbouring streams are independent (SplitMix64).
  void begin(uint64_t stream) {
    uint64_t at = seed ^ mixed(stream);
    for (Lanes &word : state)
      for (int lane = 0; lane < 8; ++lane)
        word[lane] = static_cast<uint32_t>(mixed(at += 0x9E3779B97F4A7C15u) >> 32);
  }

  // The factors of the stream's next blocks.
  void draw(float *factors, int64_t blocks) { draw(state, threshold, scale, factors, blocks); }

private:
  uint64_t seed;
  uint32_t threshold;
  float scale;
  Lanes state[4];

  static uint32_t threshold_of(double probability) {
    TORCH_CHECK(probability >= 0.0 && probability <= 1.0, "expected a probability from 0 to 1, found ", probability);
    return static_cast<uint32_t>(std::lround(probability * 65536.0));
  }

  static uint64_t mixed(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
  }

  WIDE static void draw(Lanes *state, uint32_t threshold, float scale, float *factors, int64_t blocks) {
    Lanes a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t kept;
    std::memcpy(&kept, &scale, sizeof kept);
    for (int64_t block = 0; block < blocks; ++block, factors += BLOCK) {
      Lanes sum = a + d, drawn = (sum << 7 | sum >> 25) + a, shifted = b << 9;
      c ^= a;
      d ^= b;
      b ^= c;
      a ^= d;
      c ^= shifted;
      d = d << 11 | d >> 21;
      Lanes low = Lanes((drawn & 0xFFFFu) >= threshold) & kept, high = Lanes(drawn >> 16 >= threshold) & kept;
      std::memcpy(factors, &low, sizeof low);
      std::memcpy(factors + BLOCK / 2, &high, sizeof high);
    }
    state[0] = a, state[1] = b, state[2] = c, state[3] = d;
  }
};

// Calls `work(take)` in libtorch's threads. `take()` returns the number of the next task, or
// `tasks` if none is left. at::parallel_for would run in one thread: its loop would be compiled
// here, without OpenMP. The loop of TensorIterator is compiled in libtorch.
template <typename F> void in_parallel(int64_t tasks, const F &work) {
  std::atomic<int64_t> next{0};
  auto take = [&] { return std::min(next++, tasks); };
  at::Tensor threads = at::empty({std::min<int64_t>(tasks, at::get_num_threads())}, at::kByte);
  at::TensorIterator iterator = at::TensorIterator::nullary_op(threads);
  iterator.for_each(
      [&](char **, const int64_t *, int64_t, int64_t) {
        // Autograd does not record what happens here.
        at::AutoDispatchBelowADInplaceOrView guard;
        work(take);
      },
      1);
}

template <typename T>
WIDE void multiply(const T *__restrict__ from, const float *__restrict__ factors, T *__restrict__ to, int64_t count) {
  for (int64_t i = 0; i < count; ++i)
    to[i] = from[i] * factors[i];
}

template <typename T> WIDE void multiply(T *__restrict__ row, const float *__restrict__ factors, int64_t count) {
  for (int64_t i = 0; i < count; ++i)
    row[i] *= factors[i];
}

template <typename T> void drop(const Dropout &dropout, const at::Tensor &from, const at::Tensor &to) {
  // Numbers per stream.
  constexpr int64_t STRETCH = 4096;
  const T *in = from.const_data_ptr<T>();
  T *out = to.mutable_data_ptr<T>();
  int64_t count = from.numel();
  int64_t stretches = (count + STRETCH - 1) / STRETCH;
  in_parallel(stretches, [&](const auto &take) {
    Dropout draws = dropout;
    float factors[STRETCH];
    for (int64_t stretch; (stretch = take()) < stretches;) {
      int64_t start = stretch * STRETCH, numbers = std::min(STRETCH, count - start);
      draws.begin(static_cast<uint64_t>(stretch));
      draws.draw(factors, blocks_of(numbers));
      multiply(in + start, factors, out + start, numbers);
    }
  });
}

at::Tensor drop(const Dropout &dropout, const at::Tensor &given) {
  TORCH_CHECK(given.is_cpu(), "expected a tensor on the CPU");
  at::Tensor from = given.contiguous(), to = at::empty_like(from);
  if (from.numel() > 0)
    AT_DISPATCH_FLOATING_TYPES(from.scalar_type(), "dropout", [&] { drop<scalar_t>(dropout, from, to); });
  return to;
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void require_first_derivative() {
  TORCH_CHECK(!at::GradMode::is_enabled(), "dropout and attention have no second derivative on a CPU");
}

// Dropout as a node of autograd's graph. The mask is drawn again, not stored.
struct DropoutNode : torch::autograd::Function<DropoutNode> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &x, double probability, int64_t seed) {
    context->saved_data["probability"] = probability;
    context->saved_data["seed"] = seed;
    return drop(Dropout(probability, seed), x);
  }

  static variable_list backward(AutogradContext *context, variable_list given) {
    require_first_derivative();
    Dropout dropout(context->saved_data["probability"].toDouble(), context->saved_data["seed"].toInt());
    return {drop(dropout, given[0]), at::Tensor(), at::Tensor()};
  }
};

// 2^x for x from -126 to 0.
inline double power_of_two(double x) { return std::exp2(x); }
// By a Taylor polynomial within half a power. The relative error is at most 2.5e-7.
inline float power_of_two(float x) {
  constexpr float ROUND = 12582912.0f;
  float whole = (x + ROUND) - ROUND, rest = x - whole;
  float y = 1.5403530e-4f;
  y = y * rest + 1.3333558e-3f;
  y = y * rest + 9.6181291e-3f;
  y = y * rest + 5.5504109e-2f;
  y = y * rest + 2.4022651e-1f;
  y = y * rest + 6.9314718e-1f;
  y = y * rest + 1.0f;
  int32_t bits = (static_cast<int32_t>(whole) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return y * power;
}

// Compilers do not vectorize the maximum of a row, but that of columns.
template <typename T> WIDE T highest(const T *row, int64_t count) {
  constexpr int64_t COLUMNS = 16;
  T tops[COLUMNS];
  std::fill_n(tops, COLUMNS, row[0]);
  int64_t start = 0;
  for (; start + COLUMNS <= count; start += COLUMNS)
    for (int64_t i = 0; i < COLUMNS; ++i)
      tops[i] = row[start + i] > tops[i] ? row[start + i] : tops[i];
  for (; start < count; ++start)
    tops[0] = std::max(tops[0], row[start]);
  return *std::max_element(tops, tops + COLUMNS);
}

// Replaces logits by scale * (logit - top), at least -126. This is a separate loop: if the bound is
// in the next one, compilers turn it into a branch, and then vectorize neither.
template <typename T> WIDE void exponents(T *row, int64_t count, T scale, T top) {
  for (int64_t i = 0; i < count; ++i)
    row[i] = std::max(scale * (row[i] - top), T(-126));
}

// Replaces logits by 2^(scale * (logit - top)), and returns their sum.
template <typename T> WIDE T powers(T *row, int64_t count, T scale, T top) {
  exponents(row, count, scale, top);
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) {
    row[i] = power_of_two(row[i]);
    sum += row[i];
  }
  return sum;
}

// The backward pass of one row of logits. `row` becomes the probabilities after dropout.
// `gradient` is that of these probabilities, and becomes that of the logits. `probabilities` is
// scratch space.
template <typename T>
WIDE void backward_row(T *__restrict__ row, T *__restrict__ gradient, const float *__restrict__ factors,
                       T *__restrict__ probabilities, int64_t count, T scale, T top, T inverse, T gradient_scale) {
  exponents(row, count, scale, top);
  T product = 0;
#pragma omp simd reduction(+ : product)
  for (int64_t i = 0; i < count; ++i) {
    probabilities[i] = inverse * power_of_two(row[i]);
    row[i] = probabilities[i] * factors[i];
    gradient[i] *= row[i];
    product += gradient[i];
  }
  for (int64_t i = 0; i < count; ++i)
    gradient[i] = gradient_scale * (gradient[i] - product * probabilities[i]);
}

// Self-attention within each sequence of a packed row. A thread holds all logits of one head of
// one sequence. The backward pass computes them again.
struct Attention {
  std::vector<int64_t> lengths;
  int64_t heads;
  double probability;
  int64_t seed;

  // Returns the attention's output, [tokens, width], and for each query its highest logit and the
  // inverse of its sum of powers, [heads, tokens, 2]. With them the backward pass gets the same
  // probabilities.
  template <typename T> std::array<at::Tensor, 2> forward(const std::array<at::Tensor, 3> &qkv) const {
    const auto &[q, k, v] = qkv;
    at::Tensor seen = at::empty_like(q), tops = at::empty({heads, q.size(0), 2}, q.options());
    each_head<T>(q, [&, q = q, k = k, v = v](const Head &head, Room<T> &room) {
      at::Tensor logits = room.square(0, head), of_head = head.of(seen);
      at::cpu::mm_out(logits, head.of(q), head.of(k).t());
      T *row = logits.mutable_data_ptr<T>(), *top = head.of_numbers<T>(tops), *end = top + 2 * head.length;
      T scale = head.scale();
      for (int64_t i = 0; i < head.length; ++i, row += head.length, top += 2) {
        top[0] = highest(row, head.length);
        top[1] = T(1) / powers(row, head.length, scale, top[0]);
        if (room.drops())
          multiply(row, room.factors(), head.length);
      }
      at::cpu::mm_out(of_head, logits, head.of(v));
      T *out = of_head.mutable_data_ptr<T>();
      for (top -= 2 * head.length; top < end; top += 2, out += of_head.stride(0))
        for (int64_t i = 0; i < head.size; ++i)
          out[i] *= top[1];
    });
    return {seen, tops};
  }

  // The gradients of queries, keys and values.
  template <typename T>
  std::array<at::Tensor, 3> backward(const at::Tensor &dseen, const std::array<at::Tensor, 3> &qkv,
                                     const at::Tensor &tops) const {
    const auto &[q, k, v] = qkv;
    std::array<at::Tensor, 3> d = {at::empty_like(q), at::empty_like(k), at::empty_like(v)};
    each_head<T>(q, [&, q = q, k = k, v = v](const Head &head, Room<T> &room) {
      at::Tensor logits = room.square(0, head), dlogits = room.square(1, head);
      at::cpu::mm_out(logits, head.of(q), head.of(k).t());
      at::cpu::mm_out(dlogits, head.of(dseen), head.of(v).t());
      T *row = logits.mutable_data_ptr<T>(), *drow = dlogits.mutable_data_ptr<T>(), *top = head.of_numbers<T>(tops);
      T scale = head.scale(), gradient_scale = static_cast<T>(scale * LN_2);
      for (int64_t i = 0; i < head.length; ++i, row += head.length, drow += head.length, top += 2)
        backward_row(row, drow, room.factors(), room.row(), head.length, scale, top[0], top[1], gradient_scale);
      std::array<at::Tensor, 3> of_head = {head.of(d[0]), head.of(d[1]), head.of(d[2])};
      at::cpu::mm_out(of_head[0], dlogits, head.of(k));
      at::cpu::mm_out(of_head[1], dlogits.t(), head.of(q));
      at::cpu::mm_out(of_head[2], logits.t(), head.of(dseen));
    });
    return d;
  }

private:
  static constexpr double LN_2 = 0.6931471805599453;

  // One head of one sequence.
  struct Head {
    int64_t number, start, length, size;

    // The head's part of a packed row, [length, size].
    at::Tensor of(const at::Tensor &row) const { return row.narrow(0, start, length).narrow(1, number * size, size); }
    // The head's first two numbers in [heads, tokens, 2].
    template <typename T> T *of_numbers(const at::Tensor &all) const {
      return static_cast<T *>(all.data_ptr()) + 2 * (number * all.size(1) + start);
    }
    // The scale of logits, times log2(e).
    double scale() const { return 1.0 / (LN_2 * std::sqrt(static_cast<double>(size))); }
  };

  // A thread's scratch space for a head: logits, their gradient, a row, and the factors of
  // dropout.
  template <typename T> class Room {
  public:
    Room(const Attention &attention, int64_t longest, const at::TensorOptions &options)
        : dropout(attention.probability, attention.seed), of_row(blocks_of(longest) * BLOCK, 1.0f), spare(longest), longest(longest),
          options(options) {}

    void begin(int64_t stream, int64_t length) {
      dropout.begin(static_cast<uint64_t>(stream));
      blocks = blocks_of(length);
    }

    at::Tensor square(int number, const Head &head) {
      if (!squares[number].defined())
        squares[number] = at::empty({longest * longest}, options);
      return squares[number].narrow(0, 0, head.length * head.length).view({head.length, head.length});
    }

    bool drops() const { return dropout.drops(); }

    // The factors of the next row.
    const float *factors() {
      if (drops())
        dropout.draw(of_row.data(), blocks);
      return of_row.data();
    }

    T *row() { return spare.data(); }

  private:
    Dropout dropout;
    int64_t blocks = 0;
    std::vector<float> of_row;
    std::vector<T> spare;
    int64_t longest;
    at::TensorOptions options;
    std::array<at::Tensor, 2> squares;
  };

  // Calls `work(head, room)` for each head of each sequence, in parallel.
  template <typename T, typename F> void each_head(const at::Tensor &row, const F &work) const {
    std::vector<int64_t> starts;
    int64_t tokens = 0, longest = 0;
    for (int64_t length : lengths) {
      starts.push_back(tokens);
      tokens += length;
      longest = std::max(longest, length);
    }
    TORCH_CHECK(tokens == row.size(0), "expected lengths that add up to the row");
    if (tokens == 0)
      return;
    int64_t tasks = heads * static_cast<int64_t>(lengths.size());
    in_parallel(tasks, [&](const auto &take) {
      Room<T> room(*this, longest, row.options());
      for (int64_t task; (task = take()) < tasks;) {
        int64_t sequence = task / heads;
        Head head{task % heads, starts[sequence], lengths[sequence], row.size(1) / heads};
        room.begin(task, head.length);
        work(head, room);
      }
    });
  }
};

// Attention as a node of autograd's graph.
struct AttentionNode : torch::autograd::Function<AttentionNode> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                            const Attention &attention) {
    for (const at::Tensor *x : {&q, &k, &v})
      TORCH_CHECK(x->is_cpu() && x->dim() == 2 && x->sizes() == q.sizes() && x->scalar_type() == q.scalar_type(),
                  "expected queries, keys and values of one shape and kind, on the CPU");
    TORCH_CHECK(attention.heads > 0 && q.size(1) % attention.heads == 0, "expected whole heads");
    std::array<at::Tensor, 3> qkv = {q.contiguous(), k.contiguous(), v.contiguous()};
    std::array<at::Tensor, 2> made;
    AT_DISPATCH_FLOATING_TYPES(q.scalar_type(), "attention", [&] { made = attention.forward<scalar_t>(qkv); });
    context->save_for_backward({qkv[0], qkv[1], qkv[2], made[1]});
    context->saved_data["lengths"] = attention.lengths;
    context->saved_data["heads"] = attention.heads;
    context->saved_data["probability"] = attention.probability;
    context->saved_data["seed"] = attention.seed;
    return made[0];
  }

  static variable_list backward(AutogradContext *context, variable_list given) {
    require_first_derivative();
    const auto saved = context->get_saved_variables();
    auto &options = context->saved_data;
    Attention attention{options["lengths"].toIntVector(), options["heads"].toInt(), options["probability"].toDouble(),
                        options["seed"].toInt()};
    at::Tensor dseen = given[0].contiguous();
    std::array<at::Tensor, 3> d;
    AT_DISPATCH_FLOATING_TYPES(dseen.scalar_type(), "attention", [&] {
      d = attention.backward<scalar_t>(dseen, {saved[0], saved[1], saved[2]}, saved[3]);
    });
    return {d[0], d[1], d[2], at::Tensor()};
  }
};

} // namespace

int ebert_cpu_dropout(const at::Tensor *x, double probability, int64_t seed, at::Tensor **out, ebert_error *error) {
  return guarded(error, [&] { *out = new at::Tensor(DropoutNode::apply(*x, probability, seed)); });
}

int ebert_cpu_attention(const at::Tensor *queries, const at::Tensor *keys, const at::Tensor *values,
                        const int64_t *lengths, size_t sequences, int64_t heads, double dropout, int64_t seed, at::Tensor **out,
                        ebert_error *error) {
  return guarded(error, [&] {
    Attention attention{std::vector<int64_t>(lengths, lengths + sequences), heads, dropout, seed};
    *out = new at::Tensor(AttentionNode::apply(*queries, *keys, *values, attention));
  });
}
