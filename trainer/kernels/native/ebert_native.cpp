#include "guarded.h"

#include <algorithm>
#include <memory>
#include <optional>

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/Version.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

int ebert_fused_adamw(at::Tensor *const *parameters, at::Tensor *const *gradients, at::Tensor *const *averages,
                      at::Tensor *const *squares, const at::Tensor *step, const at::Tensor *divisor,
                      const at::Tensor *skip, size_t count, double learning_rate, double beta1, double beta2,
                      double weight_decay, double epsilon, ebert_error *error) {
  return guarded(error, [&] {
    if (count == 0)
      return;
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> p = list(parameters, count);
    // The kernel of the CPU takes the size of the parameter for that of all.
    for (size_t i = 0; i < count; ++i)
      for (const at::Tensor *other : {gradients[i], averages[i], squares[i]})
        TORCH_CHECK(other->sizes() == p[i].sizes(), "parameter ", i, " is ", p[i].sizes(),
                    ": its gradient or a moving average is ", other->sizes());
    std::vector<at::Tensor> steps(count, *step);
    at::_fused_adamw_(p, list(gradients, count), list(averages, count), list(squares, count), {}, steps, learning_rate,
                      beta1, beta2, weight_decay, epsilon, /*amsgrad=*/false, /*maximize=*/false, *divisor, *skip);
  });
}

int ebert_norm(at::Tensor *const *tensors, size_t count, at::Tensor **out, ebert_error *error) {
  return guarded(error, [&] {
    at::NoGradGuard no_grad;
    *out = new at::Tensor(at::linalg_vector_norm(at::stack(at::_foreach_norm(list(tensors, count), 2)), 2));
  });
}

int ebert_zero(at::Tensor *const *tensors, size_t count, ebert_error *error) {
  return guarded(error, [&] {
    if (count == 0)
      return;
    at::NoGradGuard no_grad;
    at::_foreach_zero_(list(tensors, count));
  });
}

int ebert_add(at::Tensor *const *tensors, at::Tensor *const *more, size_t count, ebert_error *error) {
  return guarded(error, [&] {
    if (count == 0)
      return;
    at::NoGradGuard no_grad;
    at::_foreach_add_(list(tensors, count), list(more, count));
  });
}

int ebert_upload(const int32_t *numbers, size_t count, int gpu, at::Tensor **out, ebert_error *error) {
  return guarded(error, [&] {
    at::NoGradGuard no_grad;
    at::TensorOptions options = at::TensorOptions().dtype(at::kInt).pinned_memory(true);
    at::Tensor pinned = at::empty({static_cast<int64_t>(count)}, options);
    std::copy_n(numbers, count, pinned.mutable_data_ptr<int32_t>());
    *out = new at::Tensor(pinned.to(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(gpu)), /*non_blocking=*/true));
  });
}

struct ebert_reading {
  at::Tensor numbers;
  std::optional<c10::Event> arrived;
};

int ebert_reading_start(const at::Tensor *numbers, ebert_reading **out, ebert_error *error) {
  return guarded(error, [&] {
    at::NoGradGuard no_grad;
    auto reading = std::make_unique<ebert_reading>();
    at::Tensor wide = numbers->detach().to(at::kDouble);
    c10::Device device = wide.device();
    // From a GPU, this copies to pinned memory.
    reading->numbers = wide.to(at::TensorOptions().device(at::kCPU), /*non_blocking=*/true);
    if (!device.is_cpu()) {
      reading->arrived.emplace(device.type());
      reading->arrived->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
    }
    *out = reading.release();
  });
}

int ebert_reading_finish(ebert_reading *reading, double *numbers, size_t count, ebert_error *error) {
  std::unique_ptr<ebert_reading> owned(reading);
  return guarded(error, [&] {
    if (owned->arrived)
      owned->arrived->synchronize();
    TORCH_CHECK(owned->numbers.numel() == static_cast<int64_t>(count), "expected ", count, " numbers, found ",
                owned->numbers.numel());
    std::copy_n(owned->numbers.const_data_ptr<double>(), count, numbers);
  });
}

int ebert_build_settings(char *text, size_t size, ebert_error *error) {
  return guarded(error, [&] { std::snprintf(text, size, "%s", at::show_config().c_str()); });
}
