// Training on a CPU: dropout that all threads draw, and attention of each sequence of a row to itself. libtorch draws dropout in one
// thread, and has no attention over a row for a CPU.
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

// A function of loops, compiled for AVX2 too; the one that suits the CPU is chosen when the program starts.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define WIDE __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define WIDE
#endif

namespace {

typedef uint32_t Lanes __attribute__((vector_size(32)));

// Numbers that are drawn at once.
constexpr int64_t BLOCK = 16;
constexpr int64_t blocks_of(int64_t numbers) { return (numbers + BLOCK - 1) / BLOCK; }

// What dropout multiplies numbers by: 0 for a share of them, in steps of 1/65536, and for the others what leaves the mean as it is. Eight
// generators side by side (xoshiro128++, Blackman and Vigna 2018), begun by (seed, stream), and sixteen bits for each number.
class Dropout {
public:
  Dropout(double share, int64_t seed)
      : seed(static_cast<uint64_t>(seed)), threshold(threshold_of(share)),
        scale(threshold < 65536 ? static_cast<float>(65536.0 / (65536.0 - threshold)) : 0.0f) {}

  bool drops() const { return threshold > 0; }

  // Begins a stream. Streams that are near have nothing in common (SplitMix64).
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

  static uint32_t threshold_of(double share) {
    TORCH_CHECK(share >= 0.0 && share <= 1.0, "wanted a share to drop, found ", share);
    return static_cast<uint32_t>(std::lround(share * 65536.0));
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

// Calls `work(take)` in threads of libtorch's: `take()` gives the next of so many tasks, or `tasks` when all are taken. at::parallel_for
// would run in one thread here, as its loop is compiled in this file, without OpenMP; that of TensorIterator is compiled in libtorch.
template <typename F> void in_parallel(int64_t tasks, const F &work) {
  std::atomic<int64_t> next{0};
  auto take = [&] { return std::min(next++, tasks); };
  at::Tensor threads = at::empty({std::min<int64_t>(tasks, at::get_num_threads())}, at::kByte);
  at::TensorIterator iterator = at::TensorIterator::nullary_op(threads);
  iterator.for_each(
      [&](char **, const int64_t *, int64_t, int64_t) {
        // Autograd sees nothing of what is done in here.
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
  // Numbers of a stream.
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
  TORCH_CHECK(given.is_cpu(), "wanted a tensor on the CPU");
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

// Dropout as a node of autograd's graph. What it drew is drawn again, not stored.
struct DropoutNode : torch::autograd::Function<DropoutNode> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &x, double share, int64_t seed) {
    context->saved_data["share"] = share;
    context->saved_data["seed"] = seed;
    return drop(Dropout(share, seed), x);
  }

  static variable_list backward(AutogradContext *context, variable_list given) {
    require_first_derivative();
    Dropout dropout(context->saved_data["share"].toDouble(), context->saved_data["seed"].toInt());
    return {drop(dropout, given[0]), at::Tensor(), at::Tensor()};
  }
};

// 2^x for x from -126 to 0.
inline double power_of_two(double x) { return std::exp2(x); }
// By a polynomial of Taylor's within half a power; off by 2.5e-7 of it at most.
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

// Compilers make no wide instructions of the highest of a row, but of those of its columns.
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

// Scores to scale * (score - top), and none below -126. In a loop of its own: beside what follows, compilers make a branch of the bound,
// and so no wide instructions of either.
template <typename T> WIDE void exponents(T *row, int64_t count, T scale, T top) {
  for (int64_t i = 0; i < count; ++i)
    row[i] = std::max(scale * (row[i] - top), T(-126));
}

// Scores to 2^(scale * (score - top)), and the sum of these.
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

// Of a row of scores, and of the gradient of what dropout leaves of their probabilities: the scores become the latter, and the gradient
// that of the scores. `probabilities` is room.
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

// Attention of each sequence of a row to itself. All scores of a head of a sequence are there at once, and gone after it; the backward
// pass computes them again.
struct Attention {
  std::vector<int64_t> lengths;
  int64_t heads;
  double share;
  int64_t seed;

  // What is seen, [tokens, width], and of each query the highest score and the inverse of the sum of powers, [heads, tokens, 2], so that
  // probabilities are the same numbers both ways.
  template <typename T> std::array<at::Tensor, 2> forward(const std::array<at::Tensor, 3> &qkv) const {
    const auto &[q, k, v] = qkv;
    at::Tensor seen = at::empty_like(q), tops = at::empty({heads, q.size(0), 2}, q.options());
    each_head<T>(q, [&, q = q, k = k, v = v](const Head &head, Room<T> &room) {
      at::Tensor scores = room.square(0, head), of_head = head.of(seen);
      at::cpu::mm_out(scores, head.of(q), head.of(k).t());
      T *row = scores.mutable_data_ptr<T>(), *top = head.of_numbers<T>(tops), *end = top + 2 * head.length;
      T scale = head.scale();
      for (int64_t i = 0; i < head.length; ++i, row += head.length, top += 2) {
        top[0] = highest(row, head.length);
        top[1] = T(1) / powers(row, head.length, scale, top[0]);
        if (room.drops())
          multiply(row, room.factors(), head.length);
      }
      at::cpu::mm_out(of_head, scores, head.of(v));
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
      at::Tensor scores = room.square(0, head), dscores = room.square(1, head);
      at::cpu::mm_out(scores, head.of(q), head.of(k).t());
      at::cpu::mm_out(dscores, head.of(dseen), head.of(v).t());
      T *row = scores.mutable_data_ptr<T>(), *drow = dscores.mutable_data_ptr<T>(), *top = head.of_numbers<T>(tops);
      T scale = head.scale(), gradient_scale = static_cast<T>(scale * LN_2);
      for (int64_t i = 0; i < head.length; ++i, row += head.length, drow += head.length, top += 2)
        backward_row(row, drow, room.factors(), room.row(), head.length, scale, top[0], top[1], gradient_scale);
      std::array<at::Tensor, 3> of_head = {head.of(d[0]), head.of(d[1]), head.of(d[2])};
      at::cpu::mm_out(of_head[0], dscores, head.of(k));
      at::cpu::mm_out(of_head[1], dscores.t(), head.of(q));
      at::cpu::mm_out(of_head[2], scores.t(), head.of(dseen));
    });
    return d;
  }

private:
  static constexpr double LN_2 = 0.6931471805599453;

  // A head of a sequence.
  struct Head {
    int64_t number, start, length, size;

    // Its part of a row, [length, size].
    at::Tensor of(const at::Tensor &row) const { return row.narrow(0, start, length).narrow(1, number * size, size); }
    // Its first two numbers in [heads, tokens, 2].
    template <typename T> T *of_numbers(const at::Tensor &all) const {
      return static_cast<T *>(all.data_ptr()) + 2 * (number * all.size(1) + start);
    }
    // Of scores, times log2(e).
    double scale() const { return 1.0 / (LN_2 * std::sqrt(static_cast<double>(size))); }
  };

  // What a thread needs for a head: room for its scores and for their gradient, and for a row; and what dropout multiplies scores by.
  template <typename T> class Room {
  public:
    Room(const Attention &attention, int64_t longest, const at::TensorOptions &options)
        : dropout(attention.share, attention.seed), of_row(blocks_of(longest) * BLOCK, 1.0f), spare(longest), longest(longest),
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

    // Of the next row.
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
    TORCH_CHECK(tokens == row.size(0), "wanted lengths that add up to the row");
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

// Attention as a node.
struct AttentionNode : torch::autograd::Function<AttentionNode> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                            const Attention &attention) {
    for (const at::Tensor *x : {&q, &k, &v})
      TORCH_CHECK(x->is_cpu() && x->dim() == 2 && x->sizes() == q.sizes() && x->scalar_type() == q.scalar_type(),
                  "wanted queries, keys and values of one shape and kind, on the CPU");
    TORCH_CHECK(attention.heads > 0 && q.size(1) % attention.heads == 0, "wanted whole heads");
    std::array<at::Tensor, 3> qkv = {q.contiguous(), k.contiguous(), v.contiguous()};
    std::array<at::Tensor, 2> made;
    AT_DISPATCH_FLOATING_TYPES(q.scalar_type(), "attention", [&] { made = attention.forward<scalar_t>(qkv); });
    context->save_for_backward({qkv[0], qkv[1], qkv[2], made[1]});
    context->saved_data["lengths"] = attention.lengths;
    context->saved_data["heads"] = attention.heads;
    context->saved_data["share"] = attention.share;
    context->saved_data["seed"] = attention.seed;
    return made[0];
  }

  static variable_list backward(AutogradContext *context, variable_list given) {
    require_first_derivative();
    const auto saved = context->get_saved_variables();
    auto &options = context->saved_data;
    Attention attention{options["lengths"].toIntVector(), options["heads"].toInt(), options["share"].toDouble(),
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

int ebert_cpu_dropout(const at::Tensor *x, double share, int64_t seed, at::Tensor **out, ebert_error *error) {
  return guarded(error, [&] { *out = new at::Tensor(DropoutNode::apply(*x, share, seed)); });
}

int ebert_cpu_attention(const at::Tensor *queries, const at::Tensor *keys, const at::Tensor *values,
                        const int64_t *lengths, size_t sequences, int64_t heads, double dropout, int64_t seed, at::Tensor **out,
                        ebert_error *error) {
  return guarded(error, [&] {
    Attention attention{std::vector<int64_t>(lengths, lengths + sequences), heads, dropout, seed};
    *out = new at::Tensor(AttentionNode::apply(*queries, *keys, *values, attention));
  });
}
