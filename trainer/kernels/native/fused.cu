// The operators between the matrix products of BERT's layers, and cross entropy, for a GPU. Each
// kernel reads and writes each number once. NVRTC compiles this file when a model is created, for
// its widths: HIDDEN, a multiple of 128 up to 1536, and INNER, a multiple of 256 up to 8192.
//
// Activations are bfloat16. Parameters, their gradients and all sums are float32. Dropout is
// drawn by (seed, position), and drawn again in the backward pass, so no mask is stored. Sums
// over rows are computed in parts, one per block, and added in a fixed order.
constexpr int WARPS = 8;
// A lane holds 4 * EACH numbers of a row of HIDDEN.
constexpr int EACH = HIDDEN / 128;

// Philox4x32-7 (Salmon et al. 2011).
__device__ uint4 draw(u64 seed, u64 position) {
  uint4 c = {static_cast<unsigned>(position), static_cast<unsigned>(position >> 32), 0, 0};
  uint2 key = {static_cast<unsigned>(seed), static_cast<unsigned>(seed >> 32)};
#pragma unroll
  for (int round = 0; round < 7; ++round) {
    unsigned high0 = __umulhi(0xD2511F53u, c.x), high1 = __umulhi(0xCD9E8D57u, c.z);
    c = {high1 ^ c.y ^ key.x, 0xCD9E8D57u * c.z, high0 ^ c.w ^ key.y, 0xD2511F53u * c.x};
    key = {key.x + 0x9E3779B9u, key.y + 0xBB67AE85u};
  }
  return c;
}

struct Dropout {
  u64 seed;
  // A number is dropped if its draw is below this, else multiplied by `scale`.
  unsigned threshold;
  float scale;
};

// The factors of the four numbers from `position` on.
__device__ float4 kept(const Dropout &dropout, size_t position) {
  if (dropout.threshold == 0)
    return {1, 1, 1, 1};
  uint4 drawn = draw(dropout.seed, position / 4);
  auto factor = [&](unsigned d) { return d < dropout.threshold ? 0.0f : dropout.scale; };
  return {factor(drawn.x), factor(drawn.y), factor(drawn.z), factor(drawn.w)};
}

__device__ float low(unsigned two) { return __uint_as_float(two << 16); }
__device__ float high(unsigned two) { return __uint_as_float(two & 0xFFFF0000u); }

__device__ float4 load(const bfloat16 *from) {
  uint2 raw = *reinterpret_cast<const uint2 *>(from);
  return {low(raw.x), high(raw.x), low(raw.y), high(raw.y)};
}
__device__ float4 load(const float *from) { return *reinterpret_cast<const float4 *>(from); }
// Returns the stored numbers, which are rounded.
__device__ float4 store(bfloat16 *to, float4 v) {
  uint2 raw = {two(v.x, v.y), two(v.z, v.w)};
  *reinterpret_cast<uint2 *>(to) = raw;
  return {low(raw.x), high(raw.x), low(raw.y), high(raw.y)};
}

__device__ float4 operator+(float4 a, float4 b) { return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w}; }
__device__ float4 operator*(float4 a, float4 b) { return {a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w}; }
__device__ float4 operator*(float a, float4 b) { return {a * b.x, a * b.y, a * b.z, a * b.w}; }
__device__ float4 operator+(float a, float4 b) { return {a + b.x, a + b.y, a + b.z, a + b.w}; }
__device__ float sum(float4 v) { return (v.x + v.y) + (v.z + v.w); }

__device__ float over_warp(float v) {
#pragma unroll
  for (int other = 16; other > 0; other /= 2)
    v += __shfl_xor_sync(0xFFFFFFFFu, v, other);
  return v;
}

// total = dropout(x + bias) + residual; y = layer norm of total. One warp per row. `moments` are
// the mean and 1 / standard deviation of each row.
extern "C" __global__ void __launch_bounds__(32 * WARPS)
    residual_norm(const bfloat16 *__restrict__ x, const float *__restrict__ bias, const bfloat16 *__restrict__ residual,
                  const float *__restrict__ weight, const float *__restrict__ shift, bfloat16 *__restrict__ total,
                  bfloat16 *__restrict__ y, float2 *__restrict__ moments, int rows, float epsilon, Dropout dropout) {
  int row = blockIdx.x * WARPS + threadIdx.y, lane = 4 * threadIdx.x;
  if (row >= rows)
    return;
  size_t start = static_cast<size_t>(row) * HIDDEN + lane;
  float4 z[EACH];
#pragma unroll
  for (int i = 0; i < EACH; ++i)
    z[i] = load(x + start + 128 * i);
  float added = 0;
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    size_t at = start + 128 * i;
    z[i] = store(total + at, kept(dropout, at) * (z[i] + load(bias + lane + 128 * i)) + load(residual + at));
    added += sum(z[i]);
  }
  float mean = over_warp(added) / HIDDEN, squares = 0;
#pragma unroll
  for (int i = 0; i < EACH; ++i)
    squares += sum((-mean + z[i]) * (-mean + z[i]));
  float inverse = rsqrtf(over_warp(squares) / HIDDEN + epsilon);
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    int column = lane + 128 * i;
    store(y + start + 128 * i, inverse * (-mean + z[i]) * load(weight + column) + load(shift + column));
  }
  if (threadIdx.x == 0)
    moments[row] = {mean, inverse};
}

// Rows per block and iteration in the backward pass.
constexpr int ROWS = 4;

// From the gradient of y, computes the gradients of `total` (the same as the residual's) and of x.
// It also computes partial sums for those of weight, shift and bias, [blocks, 3, HIDDEN]. A thread
// has four columns.
extern "C" __global__ void __launch_bounds__(HIDDEN / 4)
    residual_norm_backward(const bfloat16 *__restrict__ dy, const bfloat16 *__restrict__ total,
                           const float2 *__restrict__ moments, const float *__restrict__ weight,
                           bfloat16 *__restrict__ dtotal, bfloat16 *__restrict__ dx, float *__restrict__ parts, int rows,
                           Dropout dropout) {
  int column = 4 * threadIdx.x;
  float4 scale = load(weight + column), sums[3] = {};
  // Partial sums over a row, per row and warp. Two buffers take turns, so that one barrier per
  // iteration suffices.
  __shared__ float2 shared[2][ROWS][EACH];
  bool second = false;
  for (int first = ROWS * blockIdx.x; first < rows; first += ROWS * gridDim.x, second = !second) {
    // The gradient of the normalized row, and the normalized row.
    float4 g[ROWS], n[ROWS];
    float inverse[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
      // Past the end, the last row again with a gradient of zero.
      int row = min(first + r, rows - 1);
      size_t at = static_cast<size_t>(row) * HIDDEN + column;
      g[r] = (first + r < rows ? 1.0f : 0.0f) * load(dy + at);
      n[r] = load(total + at);
      float2 moment = moments[row];
      n[r] = moment.y * (-moment.x + n[r]);
      inverse[r] = moment.y;
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
      sums[0] = sums[0] + g[r] * n[r];
      sums[1] = sums[1] + g[r];
      g[r] = g[r] * scale;
      float of_mean = over_warp(sum(g[r])), of_scale = over_warp(sum(g[r] * n[r]));
      if (threadIdx.x % 32 == 0)
        shared[second][r][threadIdx.x / 32] = {of_mean, of_scale};
    }
    __syncthreads();
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
      float of_mean = 0, of_scale = 0;
#pragma unroll
      for (int warp = 0; warp < EACH; ++warp) {
        of_mean += shared[second][r][warp].x / HIDDEN;
        of_scale += shared[second][r][warp].y / HIDDEN;
      }
      if (first + r >= rows)
        break;
      size_t at = static_cast<size_t>(first + r) * HIDDEN + column;
      float4 d = inverse[r] * (-of_mean + (g[r] + -of_scale * n[r]));
      store(dtotal + at, d);
      sums[2] = sums[2] + store(dx + at, kept(dropout, at) * d);
    }
  }
#pragma unroll
  for (int kind = 0; kind < 3; ++kind)
    reinterpret_cast<float4 *>(parts)[(static_cast<size_t>(blockIdx.x) * 3 + kind) * (HIDDEN / 4) + threadIdx.x] = sums[kind];
}

struct Eight {
  float v[8];
};
__device__ Eight load_eight(const bfloat16 *from) {
  uint4 raw = *reinterpret_cast<const uint4 *>(from);
  return {low(raw.x), high(raw.x), low(raw.y), high(raw.y), low(raw.z), high(raw.z), low(raw.w), high(raw.w)};
}
// Rounds `e` to what is stored.
__device__ void store_eight(bfloat16 *to, Eight &e) {
  uint4 raw = {two(e.v[0], e.v[1]), two(e.v[2], e.v[3]), two(e.v[4], e.v[5]), two(e.v[6], e.v[7])};
  *reinterpret_cast<uint4 *>(to) = raw;
  e = {low(raw.x), high(raw.x), low(raw.y), high(raw.y), low(raw.z), high(raw.z), low(raw.w), high(raw.w)};
}

// The normal distribution's cumulative probability and density at x. By Abramowitz and Stegun 1964,
// 7.1.26, with an error of at most 1e-7.
__device__ float2 normal(float x) {
  float size = fabsf(x), density = __expf(-0.5f * x * x), t = __fdividef(1.0f, 1.0f + 0.23164189f * size);
  float above = 0.5f * density * t *
                (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
  return {x < 0 ? above : 1 - above, 0.39894228f * density};
}

// y = GELU(x + bias). Blocks stride over rows, and a thread has eight columns.
extern "C" __global__ void __launch_bounds__(INNER / 8)
    bias_gelu(const bfloat16 *__restrict__ x, const float *__restrict__ bias, bfloat16 *__restrict__ y, int rows) {
  int column = 8 * threadIdx.x;
  float b[8];
#pragma unroll
  for (int i = 0; i < 8; ++i)
    b[i] = bias[column + i];
#pragma unroll 4
  for (int row = blockIdx.x; row < rows; row += gridDim.x) {
    size_t at = static_cast<size_t>(row) * INNER + column;
    Eight e = load_eight(x + at);
#pragma unroll
    for (int i = 0; i < 8; ++i)
      e.v[i] = (e.v[i] + b[i]) * normal(e.v[i] + b[i]).x;
    store_eight(y + at, e);
  }
}

// From the gradient of y, computes that of x and partial sums for that of the bias, [blocks,
// INNER].
extern "C" __global__ void __launch_bounds__(INNER / 8)
    bias_gelu_backward(const bfloat16 *__restrict__ dy, const bfloat16 *__restrict__ x, const float *__restrict__ bias,
                       bfloat16 *__restrict__ dx, float *__restrict__ parts, int rows) {
  int column = 8 * threadIdx.x;
  float b[8], sums[8] = {};
#pragma unroll
  for (int i = 0; i < 8; ++i)
    b[i] = bias[column + i];
#pragma unroll 2
  for (int row = blockIdx.x; row < rows; row += gridDim.x) {
    size_t position = static_cast<size_t>(row) * INNER + column;
    Eight e = load_eight(x + position), d = load_eight(dy + position);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      float in = e.v[i] + b[i];
      float2 at = normal(in);
      d.v[i] *= at.x + in * at.y;
    }
    store_eight(dx + position, d);
#pragma unroll
    for (int i = 0; i < 8; ++i)
      sums[i] += d.v[i];
  }
#pragma unroll
  for (int i = 0; i < 8; ++i)
    parts[static_cast<size_t>(blockIdx.x) * INNER + column + i] = sums[i];
}

// Partial sums over the rows of three tensors, [blocks, 3, HIDDEN]. blockIdx.y is the tensor. A
// thread has eight columns of every fourth row.
extern "C" __global__ void __launch_bounds__(HIDDEN / 2)
    column_sums(const bfloat16 *__restrict__ a, const bfloat16 *__restrict__ b, const bfloat16 *__restrict__ c,
                float *__restrict__ parts, int rows) {
  const bfloat16 *from = blockIdx.y == 0 ? a : blockIdx.y == 1 ? b : c;
  int column = 8 * threadIdx.x;
  float sums[8] = {};
#pragma unroll 4
  for (int row = 4 * blockIdx.x + threadIdx.y; row < rows; row += 4 * gridDim.x) {
    Eight e = load_eight(from + static_cast<size_t>(row) * HIDDEN + column);
#pragma unroll
    for (int i = 0; i < 8; ++i)
      sums[i] += e.v[i];
  }
  __shared__ float shared[4][HIDDEN];
#pragma unroll
  for (int i = 0; i < 8; ++i)
    shared[threadIdx.y][column + i] = sums[i];
  __syncthreads();
  for (int at = threadIdx.y * (HIDDEN / 8) + threadIdx.x; at < HIDDEN; at += HIDDEN / 2) {
    float added = (shared[0][at] + shared[1][at]) + (shared[2][at] + shared[3][at]);
    parts[(static_cast<size_t>(blockIdx.x) * 3 + blockIdx.y) * HIDDEN + at] = added;
  }
}

// Adds partial sums [many, gridDim.y, width] to up to three rows. Blocks of 32 x 32 threads.
extern "C" __global__ void __launch_bounds__(1024)
    add_parts(const float *__restrict__ parts, float *to0, float *to1, float *to2, int many, int width) {
  int column = blockIdx.x * 32 + threadIdx.x;
  float added = 0;
  if (column < width) {
#pragma unroll 4
    for (int part = threadIdx.y; part < many; part += 32)
      added += parts[(static_cast<size_t>(part) * gridDim.y + blockIdx.y) * width + column];
  }
  __shared__ float shared[32][33];
  shared[threadIdx.y][threadIdx.x] = added;
  __syncthreads();
  if (threadIdx.y == 0 && column < width) {
    for (int i = 1; i < 32; ++i)
      added += shared[i][threadIdx.x];
    float *to = blockIdx.y == 0 ? to0 : blockIdx.y == 1 ? to1 : to2;
    to[column] += added;
  }
}

// The cross entropy of a row: log(sum of exp(logits)) minus the logit of its label. `columns` is
// a multiple of 8. A logit may be minus infinity. One block per row.
extern "C" __global__ void __launch_bounds__(256)
    cross_entropy(const bfloat16 *__restrict__ logits, const int *__restrict__ labels, float *__restrict__ losses,
                  float *__restrict__ log_sums, int columns) {
  const bfloat16 *row = logits + static_cast<size_t>(blockIdx.x) * columns;
  // The highest logit so far, and the sum of exp(logit - highest).
  float highest = -1e30f, added = 0;
  auto join = [&](float other_highest, float other_added) {
    float both = fmaxf(highest, other_highest);
    added = added * __expf(highest - both) + other_added * __expf(other_highest - both);
    highest = both;
  };
  for (int column = 8 * threadIdx.x; column < columns; column += 8 * 256) {
    Eight e = load_eight(row + column);
    float here = e.v[0], sum_here = 0;
#pragma unroll
    for (int i = 1; i < 8; ++i)
      here = fmaxf(here, e.v[i]);
    here = fmaxf(here, highest);
#pragma unroll
    for (int i = 0; i < 8; ++i)
      sum_here += __expf(e.v[i] - here);
    join(here, sum_here);
  }
#pragma unroll
  for (int other = 16; other > 0; other /= 2)
    join(__shfl_xor_sync(0xFFFFFFFFu, highest, other), __shfl_xor_sync(0xFFFFFFFFu, added, other));
  __shared__ float2 shared[8];
  if (threadIdx.x % 32 == 0)
    shared[threadIdx.x / 32] = {highest, added};
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int warp = 1; warp < 8; ++warp)
      join(shared[warp].x, shared[warp].y);
    float log_sum = highest + logf(added);
    log_sums[blockIdx.x] = log_sum;
    losses[blockIdx.x] = log_sum - low(row[labels[blockIdx.x]]);
  }
}

// The gradient of the logits: the probabilities, less 1 at the label, times `factor`.
extern "C" __global__ void __launch_bounds__(256)
    cross_entropy_backward(const bfloat16 *__restrict__ logits, const int *__restrict__ labels,
                           const float *__restrict__ log_sums, const float *__restrict__ factor,
                           bfloat16 *__restrict__ dlogits, int columns) {
  size_t start = static_cast<size_t>(blockIdx.x) * columns;
  float log_sum = log_sums[blockIdx.x], times = *factor;
  int label = labels[blockIdx.x];
#pragma unroll 2
  for (int column = 8 * threadIdx.x; column < columns; column += 8 * 256) {
    Eight e = load_eight(logits + start + column);
#pragma unroll
    for (int i = 0; i < 8; ++i)
      e.v[i] = times * (__expf(e.v[i] - log_sum) - (column + i == label ? 1.0f : 0.0f));
    store_eight(dlogits + start + column, e);
  }
}
