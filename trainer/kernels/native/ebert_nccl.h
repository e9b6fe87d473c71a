// The NCCL backend is a library of its own, because it needs libtorch's CUDA part. It is loaded
// on a machine with a GPU only.
#pragma once
#include <chrono>

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

using ebert_make_nccl_t = c10::intrusive_ptr<c10d::Backend> (*)(const c10::intrusive_ptr<c10d::Store> &store, int rank,
                                                                int size, std::chrono::milliseconds timeout);
