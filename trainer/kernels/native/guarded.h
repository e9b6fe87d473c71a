// Shared by all native functions.
#pragma once
#include "ebert_native.h"

#include <cstdio>
#include <exception>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

// Turns exceptions into a message: they must not reach Rust.
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

inline std::vector<at::Tensor> list(at::Tensor *const *tensors, size_t count) {
  std::vector<at::Tensor> out;
  out.reserve(count);
  for (size_t i = 0; i < count; ++i)
    out.push_back(*tensors[i]);
  return out;
}
