// The gaps of tch that the trainer needs closed. Every function returns 0, or 1 after it wrote what went wrong to `error`.
#pragma once
#include <cstddef>
#include <cstdint>

namespace at {
class Tensor;
}

extern "C" {
// Room for a message.
struct ebert_error {
  char text[1024];
};

// One step of AdamW, in place, as torch.optim.AdamW(fused=True) takes it. `step`, `divisor` and `skip` are float tensors on
// the parameters' device: the number of this step, from 1; what gradients are divided by; and 1 where nothing is to be done.
// All lists have `count` tensors.
int ebert_fused_adamw(at::Tensor *const *parameters, at::Tensor *const *gradients, at::Tensor *const *averages,
                      at::Tensor *const *squares, const at::Tensor *step, const at::Tensor *divisor,
                      const at::Tensor *skip, size_t count, double learning_rate, double beta1, double beta2,
                      double weight_decay, double epsilon, ebert_error *error);

// The 2-norm of all tensors together, a scalar on their device. `out` is the caller's to delete.
int ebert_norm(at::Tensor *const *tensors, size_t count, at::Tensor **out, ebert_error *error);

// Sets all tensors to zero.
int ebert_zero(at::Tensor *const *tensors, size_t count, ebert_error *error);

// Adds to each tensor another.
int ebert_add(at::Tensor *const *tensors, at::Tensor *const *more, size_t count, ebert_error *error);

// Numbers on a GPU, int32, by way of pinned memory: nothing waits for the copy. `out` is the caller's to delete.
int ebert_upload(const int32_t *numbers, size_t count, int gpu, at::Tensor **out, ebert_error *error);

// Numbers on their way from the device, which nothing waits for until they are finished.
struct ebert_reading;
int ebert_reading_start(const at::Tensor *numbers, ebert_reading **out, ebert_error *error);
// Waits for them, writes `count` of them, and ends the reading.
int ebert_reading_finish(ebert_reading *reading, double *numbers, size_t count, ebert_error *error);

// Dropout of a share of numbers on a CPU, drawn by `seed`, and attention of each sequence of a row to itself there, of which dropout drops a share:
// queries, keys and values are [tokens, heads * size], and the lengths add up to the tokens. float32 or float64. Autograd sees the tensors. `out`
// is the caller's to delete.
int ebert_cpu_dropout(const at::Tensor *x, double share, int64_t seed, at::Tensor **out, ebert_error *error);
int ebert_cpu_attention(const at::Tensor *queries, const at::Tensor *keys, const at::Tensor *values, const int64_t *lengths,
                        size_t sequences, int64_t heads, double dropout, int64_t seed, at::Tensor **out, ebert_error *error);

// BERT for a GPU, what lies between the matrix products fused: `source`, compiled for the GPU of that number and the widths of a model: of its
// hidden states and of what is between them. It is compiled once, and lives as long as the process.
struct ebert_fused_kernels;
int ebert_fused_kernels_for(const char *source, int64_t hidden, int64_t inner, int device, const ebert_fused_kernels **out,
                            ebert_error *error);

// The compute capability of a GPU: major and minor number.
int ebert_compute_capability(int device, int *major, int *minor, ebert_error *error);

// Where sequences lie in a row of tokens: the tokens before each sequence, and of all (int32, [sequences + 1]), those of the longest, and of
// all of them.
struct ebert_sequences {
  const at::Tensor *cumulative;
  int64_t longest, tokens;
};

// One layer over a row of tokens x [tokens, hidden] in bfloat16. The 16 weights are, in bfloat16: the matrices of
// query, key, value, attention output, intermediate and output, [out, in], and the biases of query, key and value; in float32:
// the attention output's bias, weight and bias of its layer norm, the biases of intermediate and output, weight and bias of the
// last layer norm. `gradients`, none or one for each, are float32: the backward pass adds to them. `seeds` are two, of the dropout before
// each norm; libtorch draws that of attention. Autograd sees x alone. `out` is the caller's to delete.
int ebert_fused_layer(const ebert_fused_kernels *kernels, const at::Tensor *x, at::Tensor *const *weights,
                      at::Tensor *const *gradients, size_t gradient_count, const ebert_sequences *sequences, int64_t heads,
                      double dropout, double attention_dropout, double epsilon, const int64_t *seeds, at::Tensor **out,
                      ebert_error *error);

// The sum of the cross entropies of scores [N, columns] in bfloat16, columns a multiple of 8, with labels [N] in int32; float32. Autograd sees
// the scores. `out` is the caller's to delete.
int ebert_fused_cross_entropy(const ebert_fused_kernels *kernels, const at::Tensor *scores, const at::Tensor *labels, at::Tensor **out,
                              ebert_error *error);

// Copies of tensors in bfloat16, which autograd does not see. `out` has room for `count`, the caller's to delete.
int ebert_cast(at::Tensor *const *tensors, size_t count, at::Tensor **out, ebert_error *error);

// How libtorch was built, as text; cut at `size`.
int ebert_build_settings(char *text, size_t size, ebert_error *error);

// Several processes that train together.
struct ebert_group;

// Meets the other ranks through the store at host:port, which this process serves where `serve` is not 0. `nccl` names the library that makes
// the GPUs' backend, or is null for Gloo on CPUs. Waits for all of them for `join_seconds`; later no exchange may take longer than
// `exchange_seconds`. `out` lives until ebert_group_leave.
int ebert_group_join(const char *nccl, int rank, int size, const char *host, uint16_t port, int serve,
                     const char *prefix, double join_seconds, double exchange_seconds, ebert_group **out,
                     ebert_error *error);

// Whether this build has Gloo.
int ebert_group_has_gloo();

// Replaces each tensor by its sum over the ranks. They travel in buckets of about this many bytes, all under way at once.
int ebert_group_sum(ebert_group *group, at::Tensor *const *tensors, size_t count, size_t bucket_bytes,
                    ebert_error *error);

// Replaces each tensor by that of rank 0.
int ebert_group_spread(ebert_group *group, at::Tensor *const *tensors, size_t count, size_t bucket_bytes,
                       ebert_error *error);

// Rank 0 tells `text` under a name, the others hear it: `size` is its length, then; they call it twice, first with a null `text`.
int ebert_group_tell(ebert_group *group, const char *name, const char *text, size_t size, ebert_error *error);
int ebert_group_hear(ebert_group *group, const char *name, char *text, size_t *size, ebert_error *error);

// Ends what all ranks did together, once all of them are through; GPUs want it before ebert_group_leave.
int ebert_group_finish(ebert_group *group, ebert_error *error);

void ebert_group_leave(ebert_group *group);
}
