// Attention of each sequence of a row to itself, and its gradients, after FlashAttention-2 (Dao 2023): no score is ever stored. Heads of HEAD numbers, 32 or 64.
//
// A block has a tile of 64 queries of a head (or of 64 keys), a warp 16 of them, and goes through the tiles of the other side. The forward
// pass draws what dropout keeps, a bit for each score; the two backward passes read the bits. Nothing is added up across blocks, so the
// results do not depend on their order, and the gradient of queries needs no sums in float32. What bounds it: where each warp multiplies by itself,
// shared memory, which gives a tile to each of the four; on a Hopper GPU the four multiply together, and waiting for memory takes most of the time.
constexpr int TILE = 64;
// Steps of 16 numbers and of 8 numbers in a head.
constexpr int STEPS = HEAD / 16, CHUNKS = HEAD / 8;
// Columns of a tile that a backward pass has at once, in steps of 8: with more of them fewer blocks have registers enough.
constexpr int AT_ONCE = 2;
// Powers of two by which a score may lie above its row's base before sums are scaled again.
constexpr float HIGHER = 8;

// Where eight numbers of a tile lie in shared memory, in bytes: eight rows' same chunk, and a row's chunks, are in different banks. Another
// chunk's place is found by exclusive or, that of 16 rows further on by addition.
__device__ int place(int row, int chunk) { return 16 * (row * CHUNKS + (chunk ^ (row / (8 / CHUNKS) % CHUNKS))); }
constexpr int ROW = 2 * HEAD;
__device__ bfloat16 *at(bfloat16 *tile, int bytes) { return reinterpret_cast<bfloat16 *>(reinterpret_cast<char *>(tile) + bytes); }

// Fetches the rows of a head from here on to shared memory; zeros behind the last. A thread has a chunk of every so many rows.
__device__ void fetch(bfloat16 *tile, const bfloat16 *from, int rows) {
  constexpr int EVERY = 128 / CHUNKS;
  int row = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
  const bfloat16 *first = from + row * HIDDEN + 8 * chunk;
  bfloat16 *to = at(tile, place(row, chunk));
  if (rows == TILE) {
#pragma unroll
    for (int i = 0; i < TILE; i += EVERY)
      copy_async_16(at(to, i * ROW), first + i * HIDDEN, true);
  } else {
#pragma unroll
    for (int i = 0; i < TILE; i += EVERY)
      copy_async_16(at(to, i * ROW), row + i < rows ? first + i * HIDDEN : from, row + i < rows);
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

// The same, of a tile in shared memory.
__device__ void left_side(unsigned (&a)[STEPS][4], bfloat16 *tile) {
  int lane = threadIdx.x % 32, first = place(threadIdx.x / 32 * 16 + lane % 16, lane / 16);
#pragma unroll
  for (int step = 0; step < STEPS; ++step)
    load_matrices(a[step], at(tile, first ^ place(0, 2 * step)));
}

// Numbers of a warp's rows, rounded, as the left side of a product.
template <int N> __device__ void left_side(unsigned (&a)[N / 2][4], const float (&c)[N][4]) {
#pragma unroll
  for (int i = 0; i < N; ++i) {
    a[i / 2][i % 2 * 2] = two(c[i][0], c[i][1]);
    a[i / 2][i % 2 * 2 + 1] = two(c[i][2], c[i][3]);
  }
}

// What by_rows and by_columns make is there after `multiplied` and `there`; tiles must have been shown by `show_to_products`.
#ifdef HOPPER
// c [64, 8 N] = a [64, HEAD] times rows of a tile from `row` on, transposed; added to c if `add`.
template <int N> __device__ void by_rows(float (&c)[N][4], const unsigned (&a)[STEPS][4], bfloat16 *tile, int row, bool add = false) {
  multiply_from_here();
#pragma unroll
  for (int step = 0; step < STEPS; ++step)
    multiply<0>(c, a[step], in_rows(place_of(tile) + (row * ROW + 32 * step) / 16, ROW), add || step > 0);
  multiply_to_here();
}

// c [64, HEAD] += a [64, 16 N] times rows of a tile from `row` on.
template <int N> __device__ void by_columns(float (&c)[CHUNKS][4], const unsigned (&a)[N][4], bfloat16 *tile, int row) {
  multiply_from_here();
#pragma unroll
  for (int step = 0; step < N; ++step)
    multiply<1>(c, a[step], in_rows(place_of(tile) + (row + 16 * step) * ROW / 16, ROW), true);
  multiply_to_here();
}
#else
__device__ void multiplied() {}
template <int N> __device__ void there(float (&)[N][4]) {}
__device__ void show_to_products() {}

// c [16, 8 N] = a [16, HEAD] times rows of a tile from `row` on, transposed; added to c if `add`.
template <int N> __device__ void by_rows(float (&c)[N][4], const unsigned (&a)[STEPS][4], bfloat16 *tile, int row, bool add = false) {
  int lane = threadIdx.x % 32, first = place(lane % 8 + lane / 16 * 8, lane / 8 % 2);
#pragma unroll
  for (int i = 0; i < N; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j)
      c[i][j] = add ? c[i][j] : 0;
#pragma unroll
  for (int step = 0; step < STEPS; ++step)
#pragma unroll
    for (int pair = 0; pair < N / 2; ++pair) {
      unsigned b[4];
      load_matrices(b, at(tile, (first ^ place(0, 2 * step)) + (row + 16 * pair) * ROW));
      multiply_add(c[2 * pair], a[step], b[0], b[1]);
      multiply_add(c[2 * pair + 1], a[step], b[2], b[3]);
    }
}

// c [16, HEAD] += a [16, 16 N] times rows of a tile from `row` on.
template <int N> __device__ void by_columns(float (&c)[CHUNKS][4], const unsigned (&a)[N][4], bfloat16 *tile, int row) {
  int lane = threadIdx.x % 32, first = place(lane % 16, lane / 16);
#pragma unroll
  for (int step = 0; step < N; ++step)
#pragma unroll
    for (int pair = 0; pair < CHUNKS / 2; ++pair) {
      unsigned b[4];
      load_matrices_transposed(b, at(tile, (first ^ place(0, 2 * pair)) + (row + 16 * step) * ROW));
      multiply_add(c[2 * pair], a[step], b[0], b[1]);
      multiply_add(c[2 * pair + 1], a[step], b[2], b[3]);
    }
}
#endif

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

// Draws what dropout keeps of a thread's 32 scores of a tile: a bit for each. Twelve bits of as many draws are compared with the threshold at
// once, from the lowest on: where they differ the higher bit decides, and what is equal is kept.
__device__ unsigned draw_kept(const Dropout &dropout, size_t word) {
  unsigned bits = 0xFFFFFFFFu;
#pragma unroll
  for (int part = 0; part < 3; ++part) {
    uint4 drawn = draw(dropout.seed, 3 * word + part);
    unsigned digits[4] = {drawn.x, drawn.y, drawn.z, drawn.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      unsigned below = (dropout.threshold >> (4 * part + i) & 1) - 1;
      bits = (digits[i] & bits) | (below & (digits[i] | bits));
    }
  }
  return bits;
}

// `kept` has room for the bits, if anything is dropped: that of score j of step i of eight keys is bit 8 j + 7 - i of a thread's word. `log_sums`
// [heads, tokens] are those of a query's powers of two, divided by dropout's scale. `scale` is that of scores, times log2(e).
extern "C" __global__ void __launch_bounds__(128, HEAD == 32 ? 5 : 4)
    attention(const bfloat16 *__restrict__ queries, const bfloat16 *__restrict__ keys, const bfloat16 *__restrict__ values,
              bfloat16 *__restrict__ seen, float *__restrict__ log_sums, unsigned *__restrict__ kept,
              const int4 *__restrict__ tiles, int tokens, float scale, Dropout dropout) {
  alignas(1024) __shared__ bfloat16 shared[2][2][TILE * HEAD];
  Tile tile(tiles, tokens);
  int lane = threadIdx.x % 32;
  auto start = [&](int number) {
    fetch(shared[number % 2][0], keys + tile.at(number), tile.of(number));
    fetch(shared[number % 2][1], values + tile.at(number), tile.of(number));
  };
  start(0);
  fetch(shared[1][0], queries + tile.own, tile.rows);
  copied();
  __syncthreads();
  unsigned query[STEPS][4];
  left_side(query, shared[1][0]);
  // Powers of two are of scores less `base`: their highest when it was last looked for.
  float sums[CHUNKS][4] = {}, added[4] = {}, base[2] = {-1e30f, -1e30f};
  for (int number = 0; number < tile.many; ++number) {
    copied();
    show_to_products();
    __syncthreads();
    if (number + 1 < tile.many)
      start(number + 1);
    float p[8][4];
    by_rows(p, query, shared[number % 2][0], 0);
    size_t word = tile.bits(tile.number, number) + threadIdx.x;
    unsigned bits = dropout.threshold != 0 ? draw_kept(dropout, word) : 0;
    multiplied();
    there(p);
    int keys_here = tile.of(number);
    if (keys_here < TILE) {
#pragma unroll
      for (int i = 0; i < 8; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          if (8 * i + lane % 4 * 2 + j % 2 >= keys_here)
            p[i][j] = -1e30f;
    }
    float top[2];
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      top[row] = p[0][2 * row];
#pragma unroll
      for (int i = 0; i < 8; ++i)
        top[row] = fmaxf(top[row], fmaxf(p[i][2 * row], p[i][2 * row + 1]));
      top[row] *= scale;
    }
    if (__any_sync(0xFFFFFFFFu, top[0] > base[0] + HIGHER || top[1] > base[1] + HIGHER)) {
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        float now = fmaxf(base[row], highest_of_row(top[row])), less = power_of_two(base[row] - now);
        base[row] = now;
        added[2 * row] *= less;
#pragma unroll
        for (int i = 0; i < CHUNKS; ++i) {
          sums[i][2 * row] *= less;
          sums[i][2 * row + 1] *= less;
        }
      }
    }
#pragma unroll
    for (int i = 0; i < 8; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j)
        p[i][j] = power_of_two(scale * p[i][j] - base[j / 2]);
    unsigned probabilities[4][4];
    left_side(probabilities, p);
    // Times ones: the sums of rows, in each column.
#pragma unroll
    for (int step = 0; step < 4; ++step)
      multiply_add(added, probabilities[step], 0x3F803F80u, 0x3F803F80u);
    if (dropout.threshold != 0) {
      kept[word] = bits;
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        // Each bit sixteen times: that of the first byte and that of the second, and so on.
        probabilities[i / 2][i % 2 * 2] &= signs_of_low(bits << i);
        probabilities[i / 2][i % 2 * 2 + 1] &= signs_of_high(bits << i);
      }
    }
    by_columns(sums, probabilities, shared[number % 2][1], 0);
    multiplied();
    there(sums);
  }
  write(seen + tile.own, sums, dropout.scale / added[0], dropout.scale / added[2], tile.rows);
  int row = threadIdx.x / 32 * 16 + lane / 4;
#pragma unroll
  for (int i = 0; i < 2; ++i)
    if (lane % 4 == 0 && row + 8 * i < tile.rows)
      log_sums[tile.numbers + row + 8 * i] = base[i] + log2f(added[2 * i] / dropout.scale);
}

// The gradient of queries from that of what they saw, `dseen`; and `products` [heads, tokens], that of a query's dseen and seen, divided by dropout's scale.
extern "C" __global__ void __launch_bounds__(128, 4)
    attention_backward_queries(const bfloat16 *__restrict__ dseen, const bfloat16 *__restrict__ seen,
                               const bfloat16 *__restrict__ queries, const bfloat16 *__restrict__ keys,
                               const bfloat16 *__restrict__ values, const float *__restrict__ log_sums,
                               const unsigned *__restrict__ kept, bfloat16 *__restrict__ dqueries, float *__restrict__ products,
                               const int4 *__restrict__ tiles, int tokens, float scale, Dropout dropout) {
  alignas(1024) __shared__ bfloat16 shared[2][2][TILE * HEAD];
  // A thread's own word.
  __shared__ unsigned bits[2][128];
  Tile tile(tiles, tokens);
  int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane / 4;
  auto start = [&](int number) {
    fetch(shared[number % 2][0], keys + tile.at(number), tile.of(number));
    fetch(shared[number % 2][1], values + tile.at(number), tile.of(number));
    if (dropout.threshold != 0)
      copy_async_4(&bits[number % 2][threadIdx.x], kept + tile.bits(tile.number, number) + threadIdx.x, true);
  };
  start(0);
  if (dropout.threshold == 0)
    bits[0][threadIdx.x] = bits[1][threadIdx.x] = 0xFFFFFFFFu;
  fetch(shared[1][0], queries + tile.own, tile.rows);
  fetch(shared[1][1], dseen + tile.own, tile.rows);
  unsigned query[STEPS][4], gradient[STEPS][4], result[STEPS][4];
  left_side(result, seen + tile.own, tile.rows);
  copied();
  __syncthreads();
  left_side(query, shared[1][0]);
  left_side(gradient, shared[1][1]);
  float product[2] = {0, 0}, log_sum[2] = {0, 0};
#pragma unroll
  for (int step = 0; step < STEPS; ++step)
#pragma unroll
    for (int i = 0; i < 4; ++i)
      product[i % 2] += low(gradient[step][i]) * low(result[step][i]) + high(gradient[step][i]) * high(result[step][i]);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    product[i] = sum_of_row(product[i]) / dropout.scale;
    if (row + 8 * i < tile.rows) {
      log_sum[i] = log_sums[tile.numbers + row + 8 * i];
      if (lane % 4 == 0)
        products[tile.numbers + row + 8 * i] = product[i];
    }
  }
  float sums[CHUNKS][4] = {};
  for (int number = 0; number < tile.many; ++number) {
    copied();
    show_to_products();
    __syncthreads();
    if (number + 1 < tile.many)
      start(number + 1);
    unsigned word = bits[number % 2][threadIdx.x];
    int keys_here = tile.of(number);
#pragma unroll
    for (int first = 0; first < 8; first += AT_ONCE) {
      float p[AT_ONCE][4], d[AT_ONCE][4];
#pragma unroll
      for (int i = 0; i < AT_ONCE; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          d[i][j] = -product[j / 2];
      by_rows(p, query, shared[number % 2][0], 8 * first);
      by_rows(d, gradient, shared[number % 2][1], 8 * first, true);
      multiplied();
      there(p);
      there(d);
      if (keys_here < TILE) {
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i)
#pragma unroll
          for (int j = 0; j < 4; ++j)
            if (8 * (first + i) + lane % 4 * 2 + j % 2 >= keys_here)
              p[i][j] = -1e30f;
      }
#pragma unroll
      for (int i = 0; i < AT_ONCE; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          float of_probability = word >> (8 * j + 7 - first - i) & 1 ? d[i][j] : -product[j / 2];
          d[i][j] = power_of_two(scale * p[i][j] - log_sum[j / 2]) * of_probability;
        }
      unsigned dscores[AT_ONCE / 2][4];
      left_side(dscores, d);
      by_columns(sums, dscores, shared[number % 2][0], 8 * first);
    }
    multiplied();
    there(sums);
  }
  constexpr float LN_2 = 0.69314718f;
  write(dqueries + tile.own, sums, LN_2 * scale, LN_2 * scale, tile.rows);
}

// The gradients of keys and values. A block has a tile of keys.
extern "C" __global__ void __launch_bounds__(128, HEAD == 32 ? 5 : 3)
    attention_backward_keys(const bfloat16 *__restrict__ dseen, const bfloat16 *__restrict__ queries,
                            const bfloat16 *__restrict__ keys, const bfloat16 *__restrict__ values,
                            const float *__restrict__ log_sums, const float *__restrict__ products,
                            const unsigned *__restrict__ kept, bfloat16 *__restrict__ dkeys, bfloat16 *__restrict__ dvalues,
                            const int4 *__restrict__ tiles, int tokens, float scale, Dropout dropout) {
  alignas(1024) __shared__ bfloat16 shared[2][2][TILE * HEAD];
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
    // The words of neighboring queries, which are four apart, lie side by side.
    if (dropout.threshold != 0)
      copy_async_4(&bits[stage][threadIdx.x / 8 * 8 + threadIdx.x % 4 * 2 + threadIdx.x / 4 % 2],
                   kept + tile.bits(number, tile.number) + threadIdx.x, true);
  };
  start(0);
  if (dropout.threshold == 0)
    bits[0][threadIdx.x] = bits[1][threadIdx.x] = 0xFFFFFFFFu;
  fetch(shared[1][0], keys + tile.own, tile.rows);
  fetch(shared[1][1], values + tile.own, tile.rows);
  copied();
  __syncthreads();
  unsigned key[STEPS][4], value[STEPS][4];
  left_side(key, shared[1][0]);
  left_side(value, shared[1][1]);
  float dkey[CHUNKS][4] = {}, dvalue[CHUNKS][4] = {};
  for (int number = 0; number < tile.many; ++number) {
    copied();
    show_to_products();
    __syncthreads();
    if (number + 1 < tile.many)
      start(number + 1);
    int stage = number % 2;
#pragma unroll
    for (int first = 0; first < 8; first += AT_ONCE) {
      // Behind the last query all is zero: its dseen, its query, its log sum and its product.
      float p[AT_ONCE][4], d[AT_ONCE][4];
      by_rows(p, key, shared[stage][0], 8 * first);
      by_rows(d, value, shared[stage][1], 8 * first);
      multiplied();
      there(p);
      there(d);
      // The forward pass had these scores in other places of other threads: of these two queries and those eight behind them.
      uint2 words;
#pragma unroll
      for (int i = 0; i < AT_ONCE; ++i) {
        if (i % 2 == 0) {
          words = *reinterpret_cast<const uint2 *>(&bits[stage][(first + i) / 2 * 32 + lane % 4 * 8 + lane / 8 * 2]);
          int last = 8 * (lane / 4 % 2) + 6 - 2 * warp;
          words = {words.x >> last, words.y >> last};
        }
        // Of two neighboring queries.
        int column = 8 * (first + i) + lane % 4 * 2;
        float2 log_sum = *reinterpret_cast<const float2 *>(&numbers[stage][0][column]);
        float2 product = *reinterpret_cast<const float2 *>(&numbers[stage][1][column]);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          float probability = power_of_two(scale * p[i][j] - (j % 2 ? log_sum.y : log_sum.x));
          p[i][j] = (j % 2 ? words.y : words.x) >> (16 * (i % 2) + 1 - j / 2) & 1 ? probability : 0;
          d[i][j] = p[i][j] * d[i][j] - probability * (j % 2 ? product.y : product.x);
        }
      }
      unsigned probabilities[AT_ONCE / 2][4], dscores[AT_ONCE / 2][4];
      left_side(probabilities, p);
      by_columns(dvalue, probabilities, shared[stage][1], 8 * first);
      left_side(dscores, d);
      by_columns(dkey, dscores, shared[stage][0], 8 * first);
    }
    multiplied();
    there(dvalue);
    there(dkey);
  }
  constexpr float LN_2 = 0.69314718f;
  write(dvalues + tile.own, dvalue, 1, 1, tile.rows);
  write(dkeys + tile.own, dkey, LN_2 * scale, LN_2 * scale, tile.rows);
}
