// An instruction of GPUs from compute capability 8.0 on that CUDA C++ has no function for (PTX
// manual, cvt).
typedef unsigned short bfloat16;
typedef unsigned long long u64;

// Two numbers rounded to bfloat16, the first one in the lower half.
__device__ unsigned two(float low, float high) {
  unsigned both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}
