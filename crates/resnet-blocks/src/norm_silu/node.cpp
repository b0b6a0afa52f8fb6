// silu(group_norm(x + shift)) as one node of libtorch's autograd: tch cannot define nodes.
//
// The arithmetic is in kernel.rs; here are allocation, the split over threads, and what backward needs.

#include <cstdint>
#include <cstring>
#include <exception>
#include <optional>
#include <stdexcept>

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

extern "C" {
// One image each; a null shift is none. Sizes: pixels, channels, groups.
struct Sizes {
  size_t pixels, channels, groups;
};
typedef void (*Forward)(Sizes, float eps, const uint16_t* x, const uint16_t* shift, const float* weight,
                        const float* bias, uint16_t* y, float* statistics);
typedef void (*Backward)(Sizes, const uint16_t* gradient, const uint16_t* x, const uint16_t* shift,
                         const float* weight, const float* bias, const float* statistics, uint16_t* x_gradient,
                         uint16_t* shift_gradient, float* weight_and_bias_gradient);
struct Kernels {
  Forward forward;
  Backward backward;
};
}

namespace {

Kernels kernels;

uint16_t* bits(const Tensor& tensor, int64_t offset) {
  return tensor.defined() ? static_cast<uint16_t*>(tensor.data_ptr()) + offset : nullptr;
}

Sizes sizes(const Tensor& x, int64_t groups) {
  return {size_t(x.size(2) * x.size(3)), size_t(x.size(1)), size_t(groups)};
}

struct NormSilu : public torch::autograd::Function<NormSilu> {
  static Tensor forward(AutogradContext* context, const Tensor& image, const std::optional<Tensor>& given_shift,
                        const Tensor& weight, const Tensor& bias, int64_t groups, double eps) {
    Tensor x = image.contiguous(at::MemoryFormat::ChannelsLast);
    Tensor shift = given_shift ? given_shift->contiguous() : Tensor();
    Sizes size = sizes(x, groups);
    int64_t channels = size.channels, numbers = size.pixels * size.channels;
    Tensor y = at::empty_like(x);
    Tensor statistics = at::empty({x.size(0), groups, 2}, weight.options());
    at::parallel_for(0, x.size(0), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        kernels.forward(size, eps, bits(x, i * numbers), bits(shift, i * channels), weight.const_data_ptr<float>(),
                        bias.const_data_ptr<float>(), bits(y, i * numbers),
                        statistics.data_ptr<float>() + i * 2 * groups);
      }
    });
    context->save_for_backward({x, shift, weight, bias, statistics});
    context->saved_data["groups"] = groups;
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    if (at::GradMode::is_enabled()) {
      throw std::runtime_error("norm_silu has no second derivative; compute in f32");
    }
    variable_list saved = context->get_saved_variables();
    const Tensor &x = saved[0], &shift = saved[1], &weight = saved[2], &bias = saved[3], &statistics = saved[4];
    int64_t groups = context->saved_data["groups"].toInt();
    Tensor gradient = gradients[0].contiguous(at::MemoryFormat::ChannelsLast);
    Sizes size = sizes(x, groups);
    int64_t channels = size.channels, numbers = size.pixels * size.channels;
    Tensor x_gradient = at::empty_like(x);
    Tensor shift_gradient = shift.defined() ? at::empty_like(shift) : Tensor();
    // A row for each image, so that their sum does not depend on the number of threads.
    Tensor rows = at::empty({x.size(0), 2, channels}, weight.options());
    at::parallel_for(0, x.size(0), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        kernels.backward(size, bits(gradient, i * numbers), bits(x, i * numbers), bits(shift, i * channels),
                         weight.const_data_ptr<float>(), bias.const_data_ptr<float>(),
                         statistics.const_data_ptr<float>() + i * 2 * groups, bits(x_gradient, i * numbers),
                         bits(shift_gradient, i * channels), rows.data_ptr<float>() + i * 2 * channels);
      }
    });
    Tensor sums = rows.sum(0);
    return {x_gradient, shift_gradient, sums[0], sums[1], Tensor(), Tensor()};
  }
};

}  // namespace

extern "C" {

// The result, a new tensor that the caller owns; or null, and the reason in `said`, cut to its length.
void* norm_silu_node(const void* x, const void* shift, const void* weight, const void* bias, int64_t groups,
                     double eps, Kernels given, char* said, size_t length) {
  try {
    // Once, and before any other thread goes on: they are the same in every call.
    static const bool set = (kernels = given, true);
    (void)set;
    std::optional<Tensor> some;
    if (shift) some = *static_cast<const Tensor*>(shift);
    return new Tensor(NormSilu::apply(*static_cast<const Tensor*>(x), some, *static_cast<const Tensor*>(weight),
                                      *static_cast<const Tensor*>(bias), groups, eps));
  } catch (const std::exception& error) {
    std::strncpy(said, error.what(), length - 1);
  } catch (...) {
    std::strncpy(said, "an exception of C++", length - 1);
  }
  return nullptr;
}

// The instructions that libtorch's own kernels are chosen for, cut to a length; nothing where it does not say.
void libtorch_capability(char* said, size_t length) {
  try {
    std::strncpy(said, at::get_cpu_capability().c_str(), length - 1);
  } catch (...) {
  }
}
}
