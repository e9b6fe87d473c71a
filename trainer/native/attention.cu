// Attention of each sequence of a row to itself, and its gradients, after FlashAttention-2 (Dao 2023): no score is ever stored. Heads of HEAD numbers, 32 or 64.
//
// A block has a tile of 64 queries of a head (or of 64 keys), a warp 16 of them, and goes through the tiles of the other side. The forward
// pass draws what dropout keeps, a bit for each score; the two backward passes read the bits. Nothing is added up across blocks, so the
// results do not depend on their order, and the gradient of queries needs no sums in float32.
constexpr int TILE = 64;
// Steps of 16 numbers and of 8 numbers in a head.
constexpr int STEPS = HEAD / 16, CHUNKS = HEAD / 8;
// Columns of a tile that a backward pass has at once, in steps of 8: with more of them three blocks have not registers enough.
constexpr int HALF = 2;

// Where eight numbers of a tile lie in shared memory: eight rows' same chunk, and a row's chunks, are in different banks.
__device__ int place(int row, int chunk) { return 8 * (row * CHUNKS + (chunk ^ (row / (8 / CHUNKS) % CHUNKS))); }

// Fetches the rows of a head from here on to shared memory; zeros behind the last. A thread has a chunk of every so many rows.
__device__ void fetch(bfloat16 *tile, const bfloat16 *from, int rows) {
  constexpr int EVERY = 128 / CHUNKS;
  int row = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
  const bfloat16 *at = from + static_cast<size_t>(row) * HIDDEN + 8 * chunk;
#pragma unroll
  for (int i = 0; i < TILE; i += EVERY) {
    bool there = row + i < rows;
    copy_async_16(tile + place(row + i, chunk), there ? at + static_cast<size_t>(i) * HIDDEN : from, there);
  }
}

// The warp's 16 rows of a head, as the left side of a product; zeros behind the last.
__device__ void left_side(unsigned (&a)[STEPS][4], const bfloat16 *from, int rows) {
  int lane = threadIdx.x % 32, first = threadIdx.x / 32 * 16 + lane / 4;
#pragma unroll
  for (int step = 0; step < STEPS; ++step)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      int row = first + i % 2 * 8, column = 16 * step + i / 2 * 8 + lane % 4 * 2;
      a[step][i] = row < rows ? *reinterpret_cast<const unsigned *>(from + static_cast<size_t>(row) * HIDDEN + column) : 0;
    }
}

// Numbers of a warp's rows, rounded, as the left side of a product.
template <int N> __device__ void left_side(unsigned (&a)[N / 2][4], const float (&c)[N][4]) {
#pragma unroll
  for (int i = 0; i < N; ++i) {
    a[i / 2][i % 2 * 2] = two(c[i][0], c[i][1]);
    a[i / 2][i % 2 * 2 + 1] = two(c[i][2], c[i][3]);
  }
}

// c [16, 8 N] += a [16, HEAD] times rows of a tile from `row` on, transposed.
template <int N> __device__ void by_rows(float (&c)[N][4], const unsigned (&a)[STEPS][4], const bfloat16 *tile, int row) {
  int lane = threadIdx.x % 32;
#pragma unroll
  for (int pair = 0; pair < N / 2; ++pair)
#pragma unroll
    for (int step = 0; step < STEPS; ++step) {
      unsigned b[4];
      load_matrices(b, tile + place(row + 16 * pair + lane % 8 + lane / 16 * 8, 2 * step + lane / 8 % 2));
      multiply_add(c[2 * pair], a[step], b[0], b[1]);
      multiply_add(c[2 * pair + 1], a[step], b[2], b[3]);
    }
}

// c [16, HEAD] += a [16, 16 N] times rows of a tile from `row` on.
template <int N> __device__ void by_columns(float (&c)[CHUNKS][4], const unsigned (&a)[N][4], const bfloat16 *tile, int row) {
  int lane = threadIdx.x % 32;
#pragma unroll
  for (int step = 0; step < N; ++step)
#pragma unroll
    for (int pair = 0; pair < CHUNKS / 2; ++pair) {
      unsigned b[4];
      load_matrices_transposed(b, tile + place(row + 16 * step + lane % 16, 2 * pair + lane / 16));
      multiply_add(c[2 * pair], a[step], b[0], b[1]);
      multiply_add(c[2 * pair + 1], a[step], b[2], b[3]);
    }
}

// Writes the warp's rows of a head, times `factor`; none behind the last.
__device__ void write(bfloat16 *to, const float (&c)[CHUNKS][4], float factor0, float factor1, int rows) {
  int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane / 4;
#pragma unroll
  for (int chunk = 0; chunk < CHUNKS; ++chunk) {
    bfloat16 *at = to + static_cast<size_t>(row) * HIDDEN + 8 * chunk + lane % 4 * 2;
    if (row < rows)
      *reinterpret_cast<unsigned *>(at) = two(factor0 * c[chunk][0], factor0 * c[chunk][1]);
    if (row + 8 < rows)
      *reinterpret_cast<unsigned *>(at + 8 * HIDDEN) = two(factor1 * c[chunk][2], factor1 * c[chunk][3]);
  }
}

// Of the four lanes that share rows.
__device__ float sum_of_row(float v) {
  v += __shfl_xor_sync(0xFFFFFFFFu, v, 1);
  return v + __shfl_xor_sync(0xFFFFFFFFu, v, 2);
}
__device__ float highest_of_row(float v) {
  v = fmaxf(v, __shfl_xor_sync(0xFFFFFFFFu, v, 1));
  return fmaxf(v, __shfl_xor_sync(0xFFFFFFFFu, v, 2));
}

// A tile of a sequence, and what a block needs to know of both.
struct Tile {
  // Where the sequence starts in a head's column of the row of tokens, and where the tile does.
  size_t sequence, own;
  // Tokens of the sequence, and of the tile.
  int length, rows;
  // The tile's number in its sequence, and tiles of the sequence.
  int number, many;
  // Of the tile's first token, in what has a number for each head and token.
  size_t numbers;
  // Pairs of tiles before the sequence's own.
  int pairs;

  // `tiles` has of each tile: its sequence's first token and length, its number, and pairs of tiles before the sequence.
  __device__ Tile(const int4 *tiles, int tokens) {
    int4 tile = tiles[blockIdx.x];
    sequence = static_cast<size_t>(tile.x) * HIDDEN + blockIdx.y * HEAD;
    own = sequence + static_cast<size_t>(tile.z) * TILE * HIDDEN;
    length = tile.y;
    number = tile.z;
    rows = of(number);
    many = (length + TILE - 1) / TILE;
    numbers = static_cast<size_t>(blockIdx.y) * tokens + tile.x + tile.z * TILE;
    pairs = tile.w;
  }
  // Rows of a tile of the sequence.
  __device__ int of(int number) const { return min(length - number * TILE, TILE); }
  // Where a tile of the sequence starts.
  __device__ size_t at(int number) const { return sequence + static_cast<size_t>(number) * TILE * HIDDEN; }
  // Where the bits of a tile of queries and a tile of keys lie, one word for each thread of the forward pass.
  __device__ size_t bits(int queries, int keys) const {
    return (static_cast<size_t>(pairs + queries * many + keys) * gridDim.y + blockIdx.y) * 128;
  }
};

// `kept` has room for the bits, if anything is dropped. `log_sums` [heads, tokens] are those of a query's powers of two. `scale` is that of scores, times log2(e).
extern "C" __global__ void __launch_bounds__(128, 3)
    attention(const bfloat16 *__restrict__ queries, const bfloat16 *__restrict__ keys, const bfloat16 *__restrict__ values,
              bfloat16 *__restrict__ seen, float *__restrict__ log_sums, unsigned *__restrict__ kept,
              const int4 *__restrict__ tiles, int tokens, float scale, Dropout dropout) {
  alignas(16) __shared__ bfloat16 shared[2][2][TILE * HEAD];
  Tile tile(tiles, tokens);
  int lane = threadIdx.x % 32;
  auto start = [&](int number) {
    fetch(shared[number % 2][0], keys + tile.at(number), tile.of(number));
    fetch(shared[number % 2][1], values + tile.at(number), tile.of(number));
  };
  start(0);
  unsigned query[STEPS][4];
  left_side(query, queries + tile.own, tile.rows);
  float sums[CHUNKS][4] = {}, highest[2] = {-1e30f, -1e30f}, added[2] = {0, 0};
  for (int number = 0; number < tile.many; ++number) {
    copied();
    __syncthreads();
    if (number + 1 < tile.many)
      start(number + 1);
    float p[8][4] = {};
    by_rows(p, query, shared[number % 2][0], 0);
    int keys_here = tile.of(number);
    if (keys_here < TILE) {
#pragma unroll
      for (int i = 0; i < 8; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          if (8 * i + lane % 4 * 2 + j % 2 >= keys_here)
            p[i][j] = -1e30f;
    }
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      float top = highest[row];
#pragma unroll
      for (int i = 0; i < 8; ++i)
        top = fmaxf(top, fmaxf(p[i][2 * row], p[i][2 * row + 1]));
      top = highest_of_row(top);
      float less = power_of_two(scale * (highest[row] - top));
      highest[row] = top;
      added[row] *= less;
#pragma unroll
      for (int i = 0; i < 8; ++i)
#pragma unroll
        for (int j = 2 * row; j < 2 * row + 2; ++j) {
          p[i][j] = power_of_two(scale * p[i][j] - scale * top);
          added[row] += p[i][j];
        }
#pragma unroll
      for (int i = 0; i < CHUNKS; ++i) {
        sums[i][2 * row] *= less;
        sums[i][2 * row + 1] *= less;
      }
    }
    if (dropout.threshold != 0) {
      size_t word = tile.bits(tile.number, number) + threadIdx.x;
      unsigned bits = 0;
#pragma unroll
      for (int part = 0; part < 4; ++part) {
        uint4 drawn = draw(dropout.seed, 4 * word + part);
        unsigned halves[4] = {drawn.x, drawn.y, drawn.z, drawn.w};
#pragma unroll
        for (int i = 0; i < 8; ++i)
          bits |= ((halves[i / 2] >> (i % 2 * 16) & 0xFFFFu) >= dropout.threshold ? 1u : 0u) << (8 * part + i);
      }
      kept[word] = bits;
#pragma unroll
      for (int i = 0; i < 8; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          p[i][j] = bits >> (4 * i + j) & 1 ? p[i][j] : 0;
    }
    unsigned probabilities[4][4];
    left_side(probabilities, p);
    by_columns(sums, probabilities, shared[number % 2][1], 0);
  }
  added[0] = sum_of_row(added[0]);
  added[1] = sum_of_row(added[1]);
  write(seen + tile.own, sums, dropout.scale / added[0], dropout.scale / added[1], tile.rows);
  int row = threadIdx.x / 32 * 16 + lane / 4;
#pragma unroll
  for (int i = 0; i < 2; ++i)
    if (lane % 4 == 0 && row + 8 * i < tile.rows)
      log_sums[tile.numbers + row + 8 * i] = scale * highest[i] + log2f(added[i]);
}

// The gradient of queries from that of what they saw, `dseen`; and `products` [heads, tokens], that of a query's dseen and seen.
extern "C" __global__ void __launch_bounds__(128, 3)
    attention_backward_queries(const bfloat16 *__restrict__ dseen, const bfloat16 *__restrict__ seen,
                               const bfloat16 *__restrict__ queries, const bfloat16 *__restrict__ keys,
                               const bfloat16 *__restrict__ values, const float *__restrict__ log_sums,
                               const unsigned *__restrict__ kept, bfloat16 *__restrict__ dqueries, float *__restrict__ products,
                               const int4 *__restrict__ tiles, int tokens, float scale, Dropout dropout) {
  alignas(16) __shared__ bfloat16 shared[2][2][TILE * HEAD];
  Tile tile(tiles, tokens);
  int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane / 4;
  auto start = [&](int number) {
    fetch(shared[number % 2][0], keys + tile.at(number), tile.of(number));
    fetch(shared[number % 2][1], values + tile.at(number), tile.of(number));
  };
  start(0);
  unsigned query[STEPS][4], gradient[STEPS][4], result[STEPS][4];
  left_side(query, queries + tile.own, tile.rows);
  left_side(gradient, dseen + tile.own, tile.rows);
  left_side(result, seen + tile.own, tile.rows);
  float product[2] = {0, 0}, log_sum[2] = {0, 0};
#pragma unroll
  for (int step = 0; step < STEPS; ++step)
#pragma unroll
    for (int i = 0; i < 4; ++i)
      product[i % 2] += low(gradient[step][i]) * low(result[step][i]) + high(gradient[step][i]) * high(result[step][i]);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    product[i] = sum_of_row(product[i]);
    if (row + 8 * i < tile.rows) {
      log_sum[i] = log_sums[tile.numbers + row + 8 * i];
      if (lane % 4 == 0)
        products[tile.numbers + row + 8 * i] = product[i];
    }
  }
  float sums[CHUNKS][4] = {};
  for (int number = 0; number < tile.many; ++number) {
    copied();
    __syncthreads();
    if (number + 1 < tile.many)
      start(number + 1);
    unsigned bits = dropout.threshold != 0 ? kept[tile.bits(tile.number, number) + threadIdx.x] : 0xFFFFFFFFu;
    int keys_here = tile.of(number);
#pragma unroll
    for (int first = 0; first < 8; first += HALF) {
      float p[HALF][4] = {}, d[HALF][4] = {};
      by_rows(p, query, shared[number % 2][0], 8 * first);
      by_rows(d, gradient, shared[number % 2][1], 8 * first);
#pragma unroll
      for (int i = 0; i < HALF; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          float probability = power_of_two(scale * p[i][j] - log_sum[j / 2]);
          if (8 * (first + i) + lane % 4 * 2 + j % 2 >= keys_here)
            probability = 0;
          float of_probability = bits >> (4 * (first + i) + j) & 1 ? dropout.scale * d[i][j] : 0;
          d[i][j] = probability * (of_probability - product[j / 2]);
        }
      unsigned dscores[HALF / 2][4];
      left_side(dscores, d);
      by_columns(sums, dscores, shared[number % 2][0], 8 * first);
    }
  }
  constexpr float LN_2 = 0.69314718f;
  write(dqueries + tile.own, sums, LN_2 * scale, LN_2 * scale, tile.rows);
}

// The gradients of keys and values. A block has a tile of keys.
extern "C" __global__ void __launch_bounds__(128, 3)
    attention_backward_keys(const bfloat16 *__restrict__ dseen, const bfloat16 *__restrict__ queries,
                            const bfloat16 *__restrict__ keys, const bfloat16 *__restrict__ values,
                            const float *__restrict__ log_sums, const float *__restrict__ products,
                            const unsigned *__restrict__ kept, bfloat16 *__restrict__ dkeys, bfloat16 *__restrict__ dvalues,
                            const int4 *__restrict__ tiles, int tokens, float scale, Dropout dropout) {
  alignas(16) __shared__ bfloat16 shared[2][2][TILE * HEAD];
  // Of each query of a tile: its log sum, and its product.
  alignas(16) __shared__ float numbers[2][2][TILE];
  alignas(16) __shared__ unsigned bits[2][128];
  Tile tile(tiles, tokens);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  size_t first_number = tile.numbers - static_cast<size_t>(tile.number) * TILE;
  auto start = [&](int number) {
    int stage = number % 2, rows = tile.of(number);
    fetch(shared[stage][0], queries + tile.at(number), rows);
    fetch(shared[stage][1], dseen + tile.at(number), rows);
    int i = threadIdx.x % TILE;
    size_t at = first_number + number * TILE + min(i, rows - 1);
    copy_async_4(&numbers[stage][threadIdx.x / TILE][i], (threadIdx.x < TILE ? log_sums : products) + at, i < rows);
    if (dropout.threshold != 0)
      copy_async_4(&bits[stage][threadIdx.x], kept + tile.bits(number, tile.number) + threadIdx.x, true);
  };
  start(0);
  unsigned key[STEPS][4], value[STEPS][4];
  left_side(key, keys + tile.own, tile.rows);
  left_side(value, values + tile.own, tile.rows);
  float dkey[CHUNKS][4] = {}, dvalue[CHUNKS][4] = {};
  for (int number = 0; number < tile.many; ++number) {
    copied();
    __syncthreads();
    if (number + 1 < tile.many)
      start(number + 1);
    int stage = number % 2;
#pragma unroll
    for (int first = 0; first < 8; first += HALF) {
      // Behind the last query all is zero: its dseen, its query, its log sum and its product.
      float p[HALF][4] = {}, d[HALF][4] = {};
      by_rows(p, key, shared[stage][0], 8 * first);
      by_rows(d, value, shared[stage][1], 8 * first);
#pragma unroll
      for (int i = 0; i < HALF; ++i) {
        // Of two neighboring queries.
        int column = 8 * (first + i) + lane % 4 * 2;
        float2 log_sum = *reinterpret_cast<const float2 *>(&numbers[stage][0][column]);
        float2 product = *reinterpret_cast<const float2 *>(&numbers[stage][1][column]);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          float probability = power_of_two(scale * p[i][j] - (j % 2 ? log_sum.y : log_sum.x));
          bool keep = true;
          if (dropout.threshold != 0) {
            // The forward pass had this score in another place of another thread: query `column + j % 2`, and the key that is this row.
            int query = column + j % 2, row = 16 * warp + lane / 4 + j / 2 * 8;
            unsigned word = bits[stage][query / 16 * 32 + query % 8 * 4 + row % 8 / 2];
            keep = word >> (row / 8 * 4 + query / 8 % 2 * 2 + row % 2) & 1;
          }
          float of_probability = keep ? dropout.scale * d[i][j] : 0;
          d[i][j] = probability * (of_probability - (j % 2 ? product.y : product.x));
          p[i][j] = keep ? probability : 0;
        }
      }
      unsigned left[HALF / 2][4];
      left_side(left, p);
      by_columns(dvalue, left, shared[stage][1], 8 * first);
      left_side(left, d);
      by_columns(dkey, left, shared[stage][0], 8 * first);
    }
  }
  constexpr float LN_2 = 0.69314718f;
  write(dvalues + tile.own, dvalue, dropout.scale, dropout.scale, tile.rows);
  write(dkeys + tile.own, dkey, LN_2 * scale, LN_2 * scale, tile.rows);
}
