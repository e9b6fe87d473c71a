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
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
