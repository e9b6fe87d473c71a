// C functions for what tch lacks. Each returns 0, or 1 after it wrote a message to `error`.
// Whoever calls one that makes tensors in `out` deletes them.
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

// One step of AdamW, in place, as torch.optim.AdamW(fused=True). `step`, `divisor` and `skip` are
// float32 scalars on the parameters' device. `step` is the number of this step, from 1. Gradients
// are divided by `divisor`. If `skip` is 1, the step is skipped. All lists have `count` tensors.
int ebert_fused_adamw(at::Tensor *const *parameters, at::Tensor *const *gradients, at::Tensor *const *averages,
                      at::Tensor *const *squares, const at::Tensor *step, const at::Tensor *divisor,
                      const at::Tensor *skip, size_t count, double learning_rate, double beta1, double beta2,
                      double weight_decay, double epsilon, ebert_error *error);

// The 2-norm of all tensors together, a scalar on their device.
int ebert_norm(at::Tensor *const *tensors, size_t count, at::Tensor **out, ebert_error *error);

// Sets all tensors to zero.
int ebert_zero(at::Tensor *const *tensors, size_t count, ebert_error *error);

// Adds to each tensor another of the same shape.
int ebert_add(at::Tensor *const *tensors, at::Tensor *const *more, size_t count, ebert_error *error);

// Copies numbers to a GPU, as int32, from pinned memory, without waiting for the copy.
int ebert_upload(const int32_t *numbers, size_t count, int gpu, at::Tensor **out, ebert_error *error);

// A copy from a device that is under way. `start` does not wait for it.
struct ebert_reading;
int ebert_reading_start(const at::Tensor *numbers, ebert_reading **out, ebert_error *error);
// Waits for the copy, writes its `count` numbers, and deletes the reading.
int ebert_reading_finish(ebert_reading *reading, double *numbers, size_t count, ebert_error *error);

// Dropout on a CPU, drawn from `seed`, of float32 or float64 numbers. Autograd sees the tensors.
int ebert_cpu_dropout(const at::Tensor *x, double probability, int64_t seed, at::Tensor **out, ebert_error *error);

// Self-attention within each sequence of a packed row, on a CPU, in float32 or float64. Queries,
// keys and values are [tokens, heads * head_size], and the lengths add up to the tokens.
// `dropout` is the probability that an attention probability becomes 0. Autograd sees the
// tensors.
int ebert_cpu_attention(const at::Tensor *queries, const at::Tensor *keys, const at::Tensor *values, const int64_t *lengths,
                        size_t sequences, int64_t heads, double dropout, int64_t seed, at::Tensor **out, ebert_error *error);

// The fused kernels of BERT's layers: `source` compiled by NVRTC with `options` for one GPU and
// the widths of a model (hidden states, feed-forward). Each combination of GPU and widths is
// compiled once and lives as long as the process.
struct ebert_fused_kernels;
int ebert_fused_kernels_for(const char *source, const char *const *options, size_t option_count, int64_t hidden,
                            int64_t inner, int device, const ebert_fused_kernels **out, ebert_error *error);

// The compute capability of a GPU: major and minor number.
int ebert_compute_capability(int device, int *major, int *minor, ebert_error *error);

// Where the sequences of a packed row are. `cumulative` is the number of tokens before each
// sequence, then that of all tokens, int32 [sequences + 1]. `longest` is the number of tokens of
// the longest sequence, `tokens` that of all.
struct ebert_sequences {
  const at::Tensor *cumulative;
  int64_t longest, tokens;
};

// One layer over a packed row x, [tokens, hidden], in bfloat16. It has 16 weights. In bfloat16: the
// matrices of query, key, value, attention output, intermediate and output, [out, in], then the
// biases of query, key and value. In float32: the bias of the attention output, weight and bias of
// its layer norm, the biases of intermediate and output, weight and bias of the last layer norm.
// `gradients`, none or one per weight, are float32, and the backward pass adds to them. The two
// `seeds` are for dropout before each layer norm. libtorch draws that of attention. Autograd sees x
// alone.
int ebert_fused_layer(const ebert_fused_kernels *kernels, const at::Tensor *x, at::Tensor *const *weights,
                      at::Tensor *const *gradients, size_t gradient_count, const ebert_sequences *sequences, int64_t heads,
                      double dropout, double attention_dropout, double epsilon, const int64_t *seeds, at::Tensor **out,
                      ebert_error *error);

// The sum of the cross entropies of logits, [N, columns] in bfloat16, columns a multiple of 8,
// with labels, [N] in int32. The result is float32. Autograd sees the logits.
int ebert_fused_cross_entropy(const ebert_fused_kernels *kernels, const at::Tensor *logits, const at::Tensor *labels, at::Tensor **out,
                              ebert_error *error);

// Copies tensors to bfloat16, unseen by autograd. `out` has room for `count`.
int ebert_cast(at::Tensor *const *tensors, size_t count, at::Tensor **out, ebert_error *error);

// The build settings of libtorch, as text, cut at `size`.
int ebert_build_settings(char *text, size_t size, ebert_error *error);

// A process group: several processes that train together.
struct ebert_group;

// Meets the other ranks through the store at host:port, which this process serves if `serve` is
// not 0. `nccl` names the library with the NCCL backend for GPUs, or is null for Gloo on CPUs.
// Waits up to `join_seconds` for all ranks. Later no exchange may take longer than
// `exchange_seconds`. `out` lives until ebert_group_free.
int ebert_group_join(const char *nccl, int rank, int size, const char *host, uint16_t port, int serve,
                     const char *prefix, double join_seconds, double exchange_seconds, ebert_group **out,
                     ebert_error *error);

// Whether this build has Gloo.
int ebert_group_has_gloo();

// Replaces each tensor by its sum over the ranks. All tensors have one kind and device. They
// travel in buckets of about `bucket_bytes`, all under way at once.
int ebert_group_all_reduce(ebert_group *group, at::Tensor *const *tensors, size_t count, size_t bucket_bytes,
                    ebert_error *error);

// Replaces each tensor by that of rank 0.
int ebert_group_broadcast(ebert_group *group, at::Tensor *const *tensors, size_t count, size_t bucket_bytes,
                       ebert_error *error);

// The store: sets the value of a key, or waits until the key has one and gets it. `get` is called
// twice, first with a null `text` for the size of the value, then with room for `size` bytes.
int ebert_group_set(ebert_group *group, const char *key, const char *text, size_t size, ebert_error *error);
int ebert_group_get(ebert_group *group, const char *key, char *text, size_t *size, ebert_error *error);

// Shuts the backend down, once all ranks are done. NCCL needs it before ebert_group_free.
int ebert_group_shutdown(ebert_group *group, ebert_error *error);

void ebert_group_free(ebert_group *group);
}
