#include "guarded.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <dlfcn.h>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/custom_function.h>

namespace {

// The functions of NVRTC and of the CUDA driver that are used, as NVIDIA's manuals declare them.
// libtorch brings both libraries. Without their headers, a build for CPUs makes the same program.
struct Driver {
  int (*create)(void **program, const char *source, const char *name, int headers, const char *const *, const char *const *);
  int (*compile)(void *program, int count, const char *const *options);
  int (*log_size)(void *program, size_t *size);
  int (*log)(void *program, char *text);
  int (*cubin_size)(void *program, size_t *size);
  int (*cubin)(void *program, char *code);
  int (*destroy)(void **program);
  int (*load)(void **module, const void *code);
  int (*function)(void **function, void *module, const char *name);
  int (*attribute)(int *value, int attribute, int device);
  int (*current)(void **context);
  int (*retain)(void **context, int device);
  int (*set_current)(void *context);
  int (*launch)(void *function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned shared, void *stream,
                void **arguments, void **extra);
  int (*describe)(int code, const char **text);

  static const Driver &get() {
    static const Driver driver;
    return driver;
  }

  void check(int code, const char *doing) const {
    if (code == 0)
      return;
    const char *text = nullptr;
    describe(code, &text);
    TORCH_CHECK(false, "cannot ", doing, ": ", text == nullptr ? "an unknown error" : text);
  }

private:
  Driver() {
    void *library = dlopen("libcaffe2_nvrtc.so", RTLD_NOW | RTLD_LOCAL);
    TORCH_CHECK(library != nullptr, dlerror());
    auto find = [&](auto &place, const char *name) {
      place = reinterpret_cast<std::decay_t<decltype(place)>>(dlsym(library, name));
      TORCH_CHECK(place != nullptr, dlerror());
    };
    find(create, "nvrtcCreateProgram");
    find(compile, "nvrtcCompileProgram");
    find(log_size, "nvrtcGetProgramLogSize");
    find(log, "nvrtcGetProgramLog");
    find(cubin_size, "nvrtcGetCUBINSize");
    find(cubin, "nvrtcGetCUBIN");
    find(destroy, "nvrtcDestroyProgram");
    find(load, "cuModuleLoadData");
    find(function, "cuModuleGetFunction");
    find(attribute, "cuDeviceGetAttribute");
    find(current, "cuCtxGetCurrent");
    find(retain, "cuDevicePrimaryCtxRetain");
    find(set_current, "cuCtxSetCurrent");
    find(launch, "cuLaunchKernel");
    find(describe, "cuGetErrorString");
  }
};

enum { MULTIPROCESSORS = 16, CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76 };

using Dim = std::array<unsigned, 3>;

} // namespace

// The kernels of fused.cu, compiled for a GPU and the widths of a model.
struct ebert_fused_kernels {
  int device;
  int64_t hidden, inner;
  void *context = nullptr;
  int multiprocessors;
  void *residual_norm, *residual_norm_backward, *bias_gelu, *bias_gelu_backward, *column_sums, *add_parts;
  void *cross_entropy, *cross_entropy_backward;

  ebert_fused_kernels(const char *source, const char *const *options, int option_count, int64_t hidden, int64_t inner,
                      int device)
      : device(device), hidden(hidden), inner(inner) {
    const Driver &driver = Driver::get();
    driver.check(driver.retain(&context, device), "take the GPU's context");
    Current current(*this);
    auto attribute = [&](int which) {
      int value = 0;
      driver.check(driver.attribute(&value, which, device), "ask what the GPU can do");
      return value;
    };
    multiprocessors = attribute(MULTIPROCESSORS);
    struct Program {
      const Driver &driver;
      void *handle = nullptr;
      ~Program() { driver.destroy(&handle); }
    } owned{driver};
    void *&program = owned.handle;
    TORCH_CHECK(driver.create(&program, source, "fused.cu", 0, nullptr, nullptr) == 0, "cannot start NVRTC");
    int compiled = driver.compile(program, option_count, options);
    size_t size = 0;
    if (compiled != 0) {
      driver.log_size(program, &size);
      std::string log(size, ' ');
      driver.log(program, log.data());
      std::string given;
      for (int i = 0; i < option_count; ++i)
        given.append(" ").append(options[i]);
      TORCH_CHECK(false, "NVRTC does not compile fused.cu with", given, ": ", log);
    }
    TORCH_CHECK(driver.cubin_size(program, &size) == 0, "NVRTC gives no code");
    std::vector<char> code(size);
    TORCH_CHECK(driver.cubin(program, code.data()) == 0, "NVRTC gives no code");
    void *module = nullptr;
    driver.check(driver.load(&module, code.data()), "load code to the GPU");
    auto find = [&](void *&place, const char *name) {
      driver.check(driver.function(&place, module, name), "find code on the GPU");
    };
    find(residual_norm, "residual_norm");
    find(residual_norm_backward, "residual_norm_backward");
    find(bias_gelu, "bias_gelu");
    find(bias_gelu_backward, "bias_gelu_backward");
    find(column_sums, "column_sums");
    find(add_parts, "add_parts");
    find(cross_entropy, "cross_entropy");
    find(cross_entropy_backward, "cross_entropy_backward");
  }

  template <typename... A> void launch(void *function, Dim blocks, Dim threads, A... arguments) const {
    const Driver &driver = Driver::get();
    Current current(*this);
    // All work is on libtorch's default stream.
    c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
    TORCH_CHECK(guard.getStream({c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(device)}).id() == 0,
                "expected the default stream");
    void *pointers[] = {static_cast<void *>(&arguments)...};
    driver.check(driver.launch(function, blocks[0], blocks[1], blocks[2], threads[0], threads[1], threads[2], 0, nullptr,
                               pointers, nullptr),
                 "start work on the GPU");
  }

  // Adds partial sums [many, to.size(), width] to gradients.
  void add(const at::Tensor &parts, const std::vector<at::Tensor> &to) const {
    int many = static_cast<int>(parts.size(0)), width = static_cast<int>(parts.size(2));
    auto row = [&](size_t i) { return to[std::min(i, to.size() - 1)].data_ptr<float>(); };
    launch(add_parts, {(static_cast<unsigned>(width) + 31) / 32, static_cast<unsigned>(to.size()), 1}, {32, 32, 1},
           parts.data_ptr<float>(), row(0), row(1), row(2), many, width);
  }

private:
  // Makes the GPU's context current in this thread for a while. A thread of autograd may have
  // none, or that of another GPU.
  struct Current {
    void *before = nullptr;
    bool changed;

    explicit Current(const ebert_fused_kernels &kernels) {
      const Driver &driver = Driver::get();
      driver.check(driver.current(&before), "ask for the GPU's context");
      changed = before != kernels.context;
      if (changed)
        driver.check(driver.set_current(kernels.context), "take the GPU's context");
    }
    ~Current() {
      if (changed && before != nullptr)
        Driver::get().set_current(before);
    }
  };
};

namespace {

// As `Dropout` in fused.cu.
struct Dropout {
  uint64_t seed;
  uint32_t threshold;
  float scale;

  Dropout(double probability, int64_t seed) : seed(static_cast<uint64_t>(seed)) {
    constexpr double VALUES = 4294967296.0;
    threshold = static_cast<uint32_t>(std::min(std::round(probability * VALUES), VALUES - 1));
    scale = static_cast<float>(VALUES / (VALUES - threshold));
  }
};

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void *data(const at::Tensor &tensor) {
  TORCH_CHECK(tensor.is_contiguous(), "expected a contiguous tensor");
  return tensor.data_ptr();
}

// A layer's parameters in the order of ebert_native.h: six matrices, the biases of queries, keys
// and values, then the rest.
enum { QUERY, KEY, VALUE, MIX, WIDEN, NARROW, QUERY_BIAS, KEY_BIAS, VALUE_BIAS };
enum { MIX_BIAS = 9, FIRST_WEIGHT, FIRST_SHIFT, WIDEN_BIAS, NARROW_BIAS, SECOND_WEIGHT, SECOND_SHIFT, PARAMETERS };

// The arguments of a layer: its weights, and where the sequences are.
struct Call {
  const ebert_fused_kernels *kernels;
  std::vector<at::Tensor> weights, gradients;
  at::Tensor cumulative;
  int64_t longest, heads;
  double dropout, attention_dropout, epsilon;
  int64_t seeds[2];

  int rows(const at::Tensor &x) const { return static_cast<int>(x.size(0)); }
  // Enough blocks for the GPU, and no more than there are rows for.
  unsigned blocks(const at::Tensor &x, int each, int rows_of_a_block) const {
    return static_cast<unsigned>(
        std::min<int64_t>(kernels->multiprocessors * each, (x.size(0) + rows_of_a_block - 1) / rows_of_a_block));
  }

  // Layer norm of dropout(x + bias) + residual. Returns it, the sum, and the moments.
  std::array<at::Tensor, 3> residual_norm(const at::Tensor &x, const at::Tensor &residual, int bias, int weight, int shift,
                                          int64_t seed) const {
    at::Tensor total = at::empty_like(x), y = at::empty_like(x), moments = at::empty({x.size(0), 2}, x.options().dtype(at::kFloat));
    kernels->launch(kernels->residual_norm, {static_cast<unsigned>((rows(x) + 7) / 8), 1, 1}, {32, 8, 1}, data(x),
                    data(weights[bias]), data(residual), data(weights[weight]), data(weights[shift]), data(total), data(y),
                    data(moments), rows(x), static_cast<float>(epsilon), Dropout(dropout, seed));
    return {y, total, moments};
  }

  // Returns the gradients of the residual and of x. Adds those of the parameters.
  std::array<at::Tensor, 2> residual_norm_backward(const at::Tensor &dy, const at::Tensor &total, const at::Tensor &moments,
                                                   int bias, int weight, int shift, int64_t seed) const {
    at::Tensor dtotal = at::empty_like(total), dx = at::empty_like(total);
    unsigned blocks = this->blocks(total, 5, 4);
    at::Tensor parts = at::empty({blocks, 3, kernels->hidden}, moments.options());
    kernels->launch(kernels->residual_norm_backward, {blocks, 1, 1}, {static_cast<unsigned>(kernels->hidden / 4), 1, 1}, data(dy), data(total), data(moments),
                    data(weights[weight]), data(dtotal), data(dx), data(parts), rows(total), Dropout(dropout, seed));
    kernels->add(parts, {gradients[weight], gradients[shift], gradients[bias]});
    return {dtotal, dx};
  }

  at::Tensor gelu(const at::Tensor &x) const {
    at::Tensor y = at::empty_like(x);
    kernels->launch(kernels->bias_gelu, {blocks(x, 16, 1), 1, 1}, {static_cast<unsigned>(kernels->inner / 8), 1, 1}, data(x),
                    data(weights[WIDEN_BIAS]), data(y), rows(x));
    return y;
  }

  at::Tensor gelu_backward(const at::Tensor &dy, const at::Tensor &x) const {
    at::Tensor dx = at::empty_like(x);
    unsigned blocks = this->blocks(x, 4, 1);
    at::Tensor parts = at::empty({blocks, 1, kernels->inner}, x.options().dtype(at::kFloat));
    kernels->launch(kernels->bias_gelu_backward, {blocks, 1, 1}, {static_cast<unsigned>(kernels->inner / 8), 1, 1}, data(dy),
                    data(x), data(weights[WIDEN_BIAS]), data(dx), data(parts), rows(x));
    kernels->add(parts, {gradients[WIDEN_BIAS]});
    return dx;
  }

  // Adds the gradients of three biases.
  void add_bias_gradients(const std::array<at::Tensor, 3> &d) const {
    unsigned blocks = this->blocks(d[0], 2, 4);
    at::Tensor parts = at::empty({blocks, 3, kernels->hidden}, d[0].options().dtype(at::kFloat));
    kernels->launch(kernels->column_sums, {blocks, 3, 1}, {static_cast<unsigned>(kernels->hidden / 8), 4, 1}, data(d[0]),
                    data(d[1]), data(d[2]), data(parts), rows(d[0]));
    kernels->add(parts, {gradients[QUERY_BIAS], gradients[KEY_BIAS], gradients[VALUE_BIAS]});
  }

  // Adds the gradient of a matrix, in float32, within the product that computes it.
  void add_matrix_gradient(int matrix, const at::Tensor &d, const at::Tensor &x) const {
    at::Tensor gradient = gradients[matrix];
    at::addmm_out(gradient, gradient, d.t(), x, at::kFloat);
  }
};

// A layer as a node of autograd's graph. It adds the gradients of its parameters itself, and
// returns that of its input to autograd.
struct Layer : torch::autograd::Function<Layer> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const std::shared_ptr<Call> &call) {
    const auto &w = call->weights;
    int64_t tokens = x.size(0), width = x.size(1);
    std::array<at::Tensor, 3> qkv;
    for (int i : {QUERY, KEY, VALUE})
      qkv[i] = at::addmm(w[QUERY_BIAS + i], x, w[i].t());
    auto head = [&](int i) { return qkv[i].view({tokens, call->heads, width / call->heads}); };
    // `sums`, `state` and `unused` are what the backward pass of attention needs.
    auto [seen, sums, state, unused, mask] =
        at::_flash_attention_forward(head(QUERY), head(KEY), head(VALUE), call->cumulative, call->cumulative, call->longest,
                                     call->longest, call->attention_dropout, false, false);
    at::Tensor mixed = at::mm(seen.view({tokens, width}), w[MIX].t());
    auto [middle, first_total, first_moments] =
        call->residual_norm(mixed, x, MIX_BIAS, FIRST_WEIGHT, FIRST_SHIFT, call->seeds[0]);
    at::Tensor wide = at::mm(middle, w[WIDEN].t());
    at::Tensor active = call->gelu(wide);
    at::Tensor narrow = at::mm(active, w[NARROW].t());
    auto [y, second_total, second_moments] =
        call->residual_norm(narrow, middle, NARROW_BIAS, SECOND_WEIGHT, SECOND_SHIFT, call->seeds[1]);
    context->save_for_backward({x, qkv[0], qkv[1], qkv[2], seen, sums, state, unused, first_total, first_moments, middle, wide,
                                active, second_total, second_moments});
    context->saved_data["call"] = c10::IValue::make_capsule(c10::make_intrusive<Held>(call));
    return y;
  }

  static variable_list backward(AutogradContext *context, variable_list given) {
    const auto saved = context->get_saved_variables();
    const auto &[x, q, k, v, seen, sums, state, unused] = std::tie(saved[0], saved[1], saved[2], saved[3], saved[4], saved[5], saved[6], saved[7]);
    const auto &[first_total, first_moments, middle, wide, active, second_total, second_moments] =
        std::tie(saved[8], saved[9], saved[10], saved[11], saved[12], saved[13], saved[14]);
    const auto held = context->saved_data["call"].toCapsule();
    const Call &call = *static_cast<const Held *>(held.get())->call;
    const auto &w = call.weights;
    TORCH_CHECK(call.gradients.size() == PARAMETERS, "expected gradients to add to");
    int64_t tokens = x.size(0), width = x.size(1);

    auto [dmiddle, dnarrow] = call.residual_norm_backward(given[0].contiguous(), second_total, second_moments, NARROW_BIAS,
                                                          SECOND_WEIGHT, SECOND_SHIFT, call.seeds[1]);
    call.add_matrix_gradient(NARROW, dnarrow, active);
    at::Tensor dwide = call.gelu_backward(at::mm(dnarrow, w[NARROW]), wide);
    call.add_matrix_gradient(WIDEN, dwide, middle);
    dmiddle.addmm_(dwide, w[WIDEN]);
    auto [dx, dmixed] = call.residual_norm_backward(dmiddle, first_total, first_moments, MIX_BIAS, FIRST_WEIGHT, FIRST_SHIFT,
                                                    call.seeds[0]);
    call.add_matrix_gradient(MIX, dmixed, seen.view({tokens, width}));
    at::Tensor dseen = at::mm(dmixed, w[MIX]);
    auto head = [&](const at::Tensor &tensor) { return tensor.view({tokens, call.heads, width / call.heads}); };
    auto [dq, dk, dv] =
        at::_flash_attention_backward(head(dseen), head(q), head(k), head(v), seen, sums, call.cumulative, call.cumulative,
                                      call.longest, call.longest, call.attention_dropout, false, state, unused);
    std::array<at::Tensor, 3> d = {dq.reshape({tokens, width}), dk.reshape({tokens, width}), dv.reshape({tokens, width})};
    call.add_bias_gradients(d);
    for (int i : {QUERY, KEY, VALUE}) {
      call.add_matrix_gradient(i, d[i], x);
      dx.addmm_(d[i], w[i]);
    }
    return {dx, at::Tensor()};
  }

  // Keeps a call alive in autograd's graph.
  struct Held : torch::CustomClassHolder {
    explicit Held(std::shared_ptr<Call> call) : call(std::move(call)) {}
    std::shared_ptr<Call> call;
  };
};

// Kernels read and write by these shapes: any other would be an access out of bounds.
void check_layer(const ebert_fused_kernels &kernels, const at::Tensor &x, at::Tensor *const *weights,
                 at::Tensor *const *gradients, size_t gradient_count, const ebert_sequences &sequences, int64_t heads) {
  int64_t hidden = kernels.hidden, inner = kernels.inner;
  auto matches = [&](const at::Tensor &tensor, at::ScalarType kind, at::IntArrayRef shape) {
    return tensor.defined() && tensor.scalar_type() == kind && tensor.sizes() == shape && tensor.is_contiguous() &&
           tensor.is_cuda() && tensor.get_device() == kernels.device;
  };
  TORCH_CHECK(matches(x, at::kBFloat16, {sequences.tokens, hidden}), "expected hidden states [", sequences.tokens, ", ", hidden,
              "] in bfloat16 on GPU ", kernels.device);
  TORCH_CHECK(heads > 0 && hidden % heads == 0 && hidden / heads % 8 == 0 && hidden / heads <= 256,
              "expected heads of a multiple of 8, up to 256");
  TORCH_CHECK(gradient_count == 0 || gradient_count == PARAMETERS, "expected a gradient for each parameter, or none");
  for (int i = 0; i < PARAMETERS; ++i) {
    std::vector<int64_t> shape = {i == WIDEN_BIAS ? inner : hidden};
    if (i < QUERY_BIAS)
      shape = {i == WIDEN ? inner : hidden, i == NARROW ? inner : hidden};
    TORCH_CHECK(matches(*weights[i], i < MIX_BIAS ? at::kBFloat16 : at::kFloat, shape), "weight ", i,
                " of a layer has another kind or shape than ", shape);
    TORCH_CHECK(gradient_count == 0 || matches(*gradients[i], at::kFloat, shape), "gradient ", i,
                " of a layer has another kind or shape than ", shape);
  }
}

// The sum of the cross entropies of rows of logits.
struct CrossEntropy : torch::autograd::Function<CrossEntropy> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &logits, const at::Tensor &labels,
                            const ebert_fused_kernels *kernels) {
    TORCH_CHECK(logits.is_cuda() && logits.get_device() == kernels->device && labels.is_cuda() &&
                    labels.get_device() == kernels->device,
                "expected logits and labels on GPU ", kernels->device);
    TORCH_CHECK(logits.dim() == 2 && logits.size(1) % 8 == 0 && logits.scalar_type() == at::kBFloat16 &&
                    labels.scalar_type() == at::kInt && labels.numel() == logits.size(0),
                "expected bfloat16 logits in rows of a multiple of 8, and an int32 label for each row");
    at::Tensor losses = at::empty({logits.size(0)}, logits.options().dtype(at::kFloat)), log_sums = at::empty_like(losses);
    kernels->launch(kernels->cross_entropy, {static_cast<unsigned>(logits.size(0)), 1, 1}, {256, 1, 1}, data(logits),
                    data(labels), data(losses), data(log_sums), static_cast<int>(logits.size(1)));
    context->save_for_backward({logits, labels, log_sums});
    context->saved_data["kernels"] = reinterpret_cast<int64_t>(kernels);
    return losses.sum();
  }

  static variable_list backward(AutogradContext *context, variable_list given) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &logits = saved[0];
    const auto *kernels = reinterpret_cast<const ebert_fused_kernels *>(context->saved_data["kernels"].toInt());
    at::Tensor dlogits = at::empty_like(logits), factor = given[0].contiguous();
    kernels->launch(kernels->cross_entropy_backward, {static_cast<unsigned>(logits.size(0)), 1, 1}, {256, 1, 1},
                    data(logits), data(saved[1]), data(saved[2]), data(factor), data(dlogits),
                    static_cast<int>(logits.size(1)));
    return {dlogits, at::Tensor(), at::Tensor()};
  }
};

} // namespace

int ebert_fused_kernels_for(const char *source, const char *const *options, size_t option_count, int64_t hidden,
                            int64_t inner, int device, const ebert_fused_kernels **out, ebert_error *error) {
  return guarded(error, [&] {
    static std::mutex mutex;
    static std::map<std::array<int64_t, 3>, std::unique_ptr<const ebert_fused_kernels>> made;
    std::lock_guard<std::mutex> lock(mutex);
    auto &kernels = made[{hidden, inner, device}];
    if (!kernels)
      kernels = std::make_unique<const ebert_fused_kernels>(source, options, static_cast<int>(option_count), hidden, inner, device);
    *out = kernels.get();
  });
}

int ebert_compute_capability(int device, int *major, int *minor, ebert_error *error) {
  return guarded(error, [&] {
    const Driver &driver = Driver::get();
    driver.check(driver.attribute(major, CAPABILITY_MAJOR, device), "ask what the GPU can do");
    driver.check(driver.attribute(minor, CAPABILITY_MINOR, device), "ask what the GPU can do");
  });
}

int ebert_fused_layer(const ebert_fused_kernels *kernels, const at::Tensor *x, at::Tensor *const *weights,
                      at::Tensor *const *gradients, size_t gradient_count, const ebert_sequences *sequences, int64_t heads,
                      double dropout, double attention_dropout, double epsilon, const int64_t *seeds, at::Tensor **out,
                      ebert_error *error) {
  return guarded(error, [&] {
    check_layer(*kernels, *x, weights, gradients, gradient_count, *sequences, heads);
    auto call = std::make_shared<Call>();
    call->kernels = kernels;
    call->weights = list(weights, PARAMETERS);
    call->gradients = list(gradients, gradient_count);
    call->cumulative = *sequences->cumulative;
    call->longest = sequences->longest;
    call->heads = heads;
    call->dropout = dropout;
    call->attention_dropout = attention_dropout;
    call->epsilon = epsilon;
    std::copy_n(seeds, 2, call->seeds);
    *out = new at::Tensor(Layer::apply(*x, call));
  });
}

int ebert_fused_cross_entropy(const ebert_fused_kernels *kernels, const at::Tensor *logits, const at::Tensor *labels, at::Tensor **out,
                              ebert_error *error) {
  return guarded(error, [&] { *out = new at::Tensor(CrossEntropy::apply(*logits, *labels, kernels)); });
}

int ebert_cast(at::Tensor *const *tensors, size_t count, at::Tensor **out, ebert_error *error) {
  return guarded(error, [&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> from = list(tensors, count), to;
    for (const at::Tensor &tensor : from)
      to.push_back(at::empty_like(tensor, tensor.options().dtype(at::kBFloat16).requires_grad(false)));
    if (count > 0)
      at::_foreach_copy_(to, from);
    for (size_t i = 0; i < count; ++i)
      out[i] = new at::Tensor(to[i]);
  });
}
