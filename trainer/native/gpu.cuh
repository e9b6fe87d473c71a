// Instructions of a GPU (from compute capability 8.0 on) that CUDA C++ has no words for, by NVIDIA's PTX manual.
typedef unsigned short bfloat16;
typedef unsigned long long u64;

// Two numbers rounded to bfloat16, the first one in the lower half.
__device__ unsigned two(float low, float high) {
  unsigned both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}

__device__ float power_of_two(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

__device__ unsigned in_shared(const void *place) { return static_cast<unsigned>(__cvta_generic_to_shared(place)); }

// Copies 16 bytes, or four, to shared memory behind the thread's back; zeros where there is nothing to copy.
__device__ void copy_async_16(void *to, const void *from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(in_shared(to)), "l"(from), "r"(there ? 16 : 0) : "memory");
}
__device__ void copy_async_4(void *to, const void *from, bool there) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(in_shared(to)), "l"(from), "r"(there ? 4 : 0) : "memory");
}
// Waits for what this thread copies.
__device__ void copied() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// Four matrices of 8 x 8, a row of which lies where a lane says: lane i of row i % 8 of matrix i / 8. Each lane gets two neighbors of a row of
// each matrix (of a column, where transposed): of row lane / 4 those from 2 (lane % 4) on.
__device__ void load_matrices(unsigned (&to)[4], const bfloat16 *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(in_shared(row))
               : "memory");
}
__device__ void load_matrices_transposed(unsigned (&to)[4], const bfloat16 *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(in_shared(row))
               : "memory");
}

// c [16, 8] += a [16, 16] b [16, 8] in a warp. With g = lane / 4 and t = 2 (lane % 4), a lane has of c the places (g, t), (g, t + 1), (g + 8, t),
// (g + 8, t + 1); of a the pairs from (g, t), (g + 8, t), (g, t + 8), (g + 8, t + 8) on; of b the pairs down from (t, g), (t + 8, g).
__device__ void multiply_add(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// The sign of bytes 0 and 1 of a word, or of 2 and 3, in all bits of a half each.
__device__ unsigned signs_of_low(unsigned word) {
  unsigned both;
  asm("prmt.b32 %0, %1, 0, 0x9988;" : "=r"(both) : "r"(word));
  return both;
}
__device__ unsigned signs_of_high(unsigned word) {
  unsigned both;
  asm("prmt.b32 %0, %1, 0, 0xBBAA;" : "=r"(both) : "r"(word));
  return both;
}

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
// Products of four warps at once, with a right side that lies in shared memory (compute capability 9.0 alone).
#define HOPPER

// Where a right side lies in shared memory, in rows of `width` bytes of which eight are swizzled together: in units of 16 bytes, to which others
// may be added.
__device__ unsigned place_of(const void *first) { return (in_shared(first) & 0x3FFFF) >> 4 | 1 << 16; }
__device__ u64 in_rows(unsigned place, int width) {
  return u64(width * 8 / 16 | (width == 128 ? 1u << 30 : 2u << 30)) << 32 | place;
}

#define NUMBERS(i) "+f"(c[i][0]), "+f"(c[i][1]), "+f"(c[i][2]), "+f"(c[i][3])
#define MULTIPLY(columns, numbers, a0, a1, a2, a3, b, add, across)                                                        \
  "{\n.reg .pred add;\nsetp.ne.b32 add, %" add ", 0;\n"                                                                      \
  "wgmma.mma_async.sync.aligned.m64n" columns "k16.f32.bf16.bf16 {" numbers "}, {%" a0 ", %" a1 ", %" a2 ", %" a3 "}, %" b  \
  ", add, 1, 1, %" across ";\n}"
#define OTHERS "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(int(add)), "n"(ACROSS)
#define EIGHT "%0, %1, %2, %3, %4, %5, %6, %7"
#define SIXTEEN EIGHT ", %8, %9, %10, %11, %12, %13, %14, %15"

// c [64, 8 N] = a [64, 16] b [16, 8 N], added to c if `add`; a row of the tile is a column of b, or a row of it if ACROSS. What is made is there
// after `multiplied`; a warp has 16 rows of a and c as in `multiply_add`.
template <int ACROSS> __device__ void multiply(float (&c)[2][4], const unsigned (&a)[4], u64 b, bool add) {
  asm volatile(MULTIPLY("16", EIGHT, "8", "9", "10", "11", "12", "13", "14") : NUMBERS(0), NUMBERS(1) : OTHERS);
}
template <int ACROSS> __device__ void multiply(float (&c)[4][4], const unsigned (&a)[4], u64 b, bool add) {
  asm volatile(MULTIPLY("32", SIXTEEN, "16", "17", "18", "19", "20", "21", "22")
               : NUMBERS(0), NUMBERS(1), NUMBERS(2), NUMBERS(3)
               : OTHERS);
}
template <int ACROSS> __device__ void multiply(float (&c)[8][4], const unsigned (&a)[4], u64 b, bool add) {
  asm volatile(MULTIPLY("64",
                        SIXTEEN ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31", "32", "33",
                        "34", "35", "36", "37", "38")
               : NUMBERS(0), NUMBERS(1), NUMBERS(2), NUMBERS(3), NUMBERS(4), NUMBERS(5), NUMBERS(6), NUMBERS(7)
               : OTHERS);
}
// Before the first product of numbers that were changed, and behind the last one.
__device__ void multiply_from_here() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ void multiply_to_here() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
__device__ void multiplied() { asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory"); }
// Has the compiler look at numbers here, not before.
template <int N> __device__ void there(float (&c)[N][4]) {
#pragma unroll
  for (int i = 0; i < N; ++i)
    asm volatile("" : NUMBERS(i)::"memory");
}
// What was copied can be seen by products.
__device__ void show_to_products() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
#endif
