#include "ebert_native.h"

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/Version.h>
#include <ATen/core/grad_mode.h>
#include <c10/util/Exception.h>

namespace {

// Exceptions must not reach Rust.
template <typename F> int guarded(ebert_error *error, F body) {
  try {
    body();
    return 0;
  } catch (const c10::Error &e) {
    std::snprintf(error->text, sizeof error->text, "%s", e.what_without_backtrace());
  } catch (const std::exception &e) {
    std::snprintf(error->text, sizeof error->text, "%s", e.what());
  } catch (...) {
    std::snprintf(error->text, sizeof error->text, "an exception of an unknown kind");
  }
  return 1;
}

std::vector<at::Tensor> list(at::Tensor *const *tensors, size_t count) {
  std::vector<at::Tensor> out;
  out.reserve(count);
  for (size_t i = 0; i < count; ++i)
    out.push_back(*tensors[i]);
  return out;
}

} // namespace

int ebert_fused_adamw(at::Tensor *const *parameters, at::Tensor *const *gradients, at::Tensor *const *averages,
                      at::Tensor *const *squares, const at::Tensor *step, size_t count, double learning_rate,
                      double beta1, double beta2, double weight_decay, double epsilon, ebert_error *error) {
  return guarded(error, [&] {
    if (count == 0)
      return;
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> p = list(parameters, count);
    std::vector<at::Tensor> steps(count, *step);
    at::_fused_adamw_(p, list(gradients, count), list(averages, count), list(squares, count), {}, steps, learning_rate,
                      beta1, beta2, weight_decay, epsilon, /*amsgrad=*/false, /*maximize=*/false);
  });
}

int ebert_clip_gradients(at::Tensor *const *gradients, size_t count, double limit, double *norm, ebert_error *error) {
  return guarded(error, [&] {
    *norm = 0;
    if (count == 0)
      return;
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> g = list(gradients, count);
    *norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(g, 2)), 2).item<double>();
    if (limit > 0 && *norm > limit)
      at::_foreach_mul_(g, limit / (*norm + 1e-6));
  });
}

int ebert_build_settings(char *text, size_t size, ebert_error *error) {
  return guarded(error, [&] { std::snprintf(text, size, "%s", at::show_config().c_str()); });
}
