#include "guarded.h"

#include <chrono>
#include <cstring>
#include <dlfcn.h>
#include <string>

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#ifdef EBERT_GLOO
#define USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif

#include "ebert_nccl.h"

struct ebert_group {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::Backend> backend;
};

namespace {

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(1000 * seconds));
}

#ifdef EBERT_GLOO
c10::intrusive_ptr<c10d::Backend> gloo_backend(const c10::intrusive_ptr<c10d::Store> &store, int rank, int size,
                                       const std::string &host, std::chrono::milliseconds timeout) {
  auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  const char *interface = std::getenv("GLOO_SOCKET_IFNAME");
  if (interface != nullptr)
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForInterface(interface));
  else if (host == "localhost" || host.rfind("127.", 0) == 0)
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
  else
    options->devices.push_back(c10d::ProcessGroupGloo::createDefaultDevice());
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, options);
}
#endif

c10::intrusive_ptr<c10d::Backend> nccl_backend(const char *library, const c10::intrusive_ptr<c10d::Store> &store, int rank,
                                       int size, std::chrono::milliseconds timeout) {
  void *handle = dlopen(library, RTLD_NOW | RTLD_GLOBAL);
  TORCH_CHECK(handle != nullptr, dlerror());
  auto make = reinterpret_cast<ebert_make_nccl_t>(dlsym(handle, "ebert_make_nccl"));
  TORCH_CHECK(make != nullptr, dlerror());
  return make(store, rank, size, timeout);
}

// Exchanges tensors in buckets, all under way at once, and copies the results back.
template <typename Send> void in_buckets(const std::vector<at::Tensor> &tensors, size_t bucket_bytes, Send send) {
  at::NoGradGuard no_grad;
  struct Bucket {
    std::vector<at::Tensor> parts;
    std::vector<at::Tensor> flat;
    c10::intrusive_ptr<c10d::Work> work;
  };
  std::vector<Bucket> buckets;
  for (size_t next = 0; next < tensors.size();) {
    Bucket bucket;
    std::vector<at::Tensor> rows;
    for (size_t bytes = 0; next < tensors.size() && (bytes == 0 || bytes + tensors[next].nbytes() <= bucket_bytes);
         bytes += std::max<size_t>(1, tensors[next].nbytes()), ++next) {
      bucket.parts.push_back(tensors[next]);
      rows.push_back(tensors[next].reshape({-1}));
    }
    bucket.flat = {at::cat(rows)};
    bucket.work = send(bucket.flat);
    buckets.push_back(std::move(bucket));
  }
  for (Bucket &bucket : buckets) {
    bucket.work->wait();
    int64_t start = 0;
    for (at::Tensor &part : bucket.parts) {
      part.copy_(bucket.flat[0].narrow(0, start, part.numel()).view_as(part));
      start += part.numel();
    }
  }
}

} // namespace

int ebert_group_join(const char *nccl_library, int rank, int size, const char *host, uint16_t port, int serve,
                     const char *prefix, double join_seconds, double exchange_seconds, ebert_group **out,
                     ebert_error *error) {
  return guarded(error, [&] {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = serve != 0;
    options.numWorkers = static_cast<size_t>(size);
    options.timeout = milliseconds(join_seconds);
    auto tcp = c10::make_intrusive<c10d::TCPStore>(host, options);
    auto store = c10::make_intrusive<c10d::PrefixStore>(prefix, tcp);
    c10::intrusive_ptr<c10d::Backend> backend;
    if (nccl_library != nullptr) {
      backend = nccl_backend(nccl_library, store, rank, size, milliseconds(exchange_seconds));
    } else {
#ifdef EBERT_GLOO
      backend = gloo_backend(store, rank, size, host, milliseconds(exchange_seconds));
#else
      TORCH_CHECK(false, "built without Gloo");
#endif
    }
    *out = new ebert_group{store, backend};
  });
}

int ebert_group_has_gloo() {
#ifdef EBERT_GLOO
  return 1;
#else
  return 0;
#endif
}

int ebert_group_all_reduce(ebert_group *group, at::Tensor *const *tensors, size_t count, size_t bucket_bytes,
                    ebert_error *error) {
  return guarded(error, [&] {
    in_buckets(list(tensors, count), bucket_bytes,
               [&](std::vector<at::Tensor> &flat) { return group->backend->allreduce(flat); });
  });
}

int ebert_group_broadcast(ebert_group *group, at::Tensor *const *tensors, size_t count, size_t bucket_bytes,
                       ebert_error *error) {
  return guarded(error, [&] {
    in_buckets(list(tensors, count), bucket_bytes,
               [&](std::vector<at::Tensor> &flat) { return group->backend->broadcast(flat); });
  });
}

int ebert_group_set(ebert_group *group, const char *key, const char *text, size_t size, ebert_error *error) {
  return guarded(error, [&] { group->store->set(key, std::vector<uint8_t>(text, text + size)); });
}

int ebert_group_get(ebert_group *group, const char *key, char *text, size_t *size, ebert_error *error) {
  return guarded(error, [&] {
    std::vector<uint8_t> value = group->store->get(key);
    if (text != nullptr)
      std::memcpy(text, value.data(), std::min(*size, value.size()));
    *size = value.size();
  });
}

int ebert_group_shutdown(ebert_group *group, ebert_error *error) {
  return guarded(error, [&] { group->backend->shutdown(); });
}

void ebert_group_free(ebert_group *group) { delete group; }
