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

// One step of AdamW, in place, as torch.optim.AdamW(fused=True) takes it. `step` is a float tensor that holds the
// number of this step, from 1. All lists have `count` tensors.
int ebert_fused_adamw(at::Tensor *const *parameters, at::Tensor *const *gradients, at::Tensor *const *averages,
                      at::Tensor *const *squares, const at::Tensor *step, size_t count, double learning_rate,
                      double beta1, double beta2, double weight_decay, double epsilon, ebert_error *error);

// The 2-norm of all gradients together. If it exceeds `limit` (0: no limit) they are scaled down to it, in place.
int ebert_clip_gradients(at::Tensor *const *gradients, size_t count, double limit, double *norm, ebert_error *error);

// How libtorch was built, as text; cut at `size`.
int ebert_build_settings(char *text, size_t size, ebert_error *error);
}
