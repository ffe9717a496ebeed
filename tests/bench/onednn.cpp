/*
 * Two LSTM layers, and the layers of a convolutional network, with oneDNN's own primitives, for tests/bench/peers.py,
 * which compiles this where oneDNN is installed. Versions 2 and 3. Layouts of weights and values are those oneDNN
 * chooses, weights reordered once; forward inference, fp32.
 */
#include <exception>
#include <memory>
#include <unordered_map>
#include <vector>

#include <dnnl.hpp>

using dnnl::memory;
using dims = memory::dims;
using tag = memory::format_tag;

namespace
{

const memory::data_type f32 = memory::data_type::f32;

dims shape_of(const memory::desc &desc)
{
#if DNNL_VERSION_MAJOR >= 3
    return desc.get_dims();
#else
    return desc.dims();
#endif
}

struct layer {
    dnnl::primitive primitive;
    std::unordered_map<int, memory> args;
};

struct net {
    dnnl::engine engine{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream{engine};
    std::vector<memory> kept; /* what the layers' arguments were reordered from */
    std::vector<layer> layers;
    std::vector<memory> values; /* of a convolutional network: what each layer gives */

    memory borrow(const dims &shape, tag order, float *values)
    {
        return memory({shape, f32, order}, engine, values);
    }

    memory as_wanted(memory plain, const memory::desc &wanted)
    {
        memory out(wanted, engine);
        dnnl::reorder(plain, out).execute(stream, plain, out);
        stream.wait();
        kept.push_back(plain);
        return out;
    }

    /* w: PyTorch's weight_ih [4 * units][in] and weight_hh [4 * units][units], gates i, f, g, o as here; one bias */
    memory add(memory in, long rows, long batch, long inputs, long units, float *w_ih, float *w_hh, float *bias)
    {
        memory out({{rows, batch, units}, f32, tag::tnc}, engine);
        memory::desc none, any_in({1, 1, inputs, 4, units}, f32, tag::any),
            any_hidden({1, 1, units, 4, units}, f32, tag::any);
        memory::desc bias_desc({1, 1, 4, units}, f32, tag::ldgo);
        const auto kind = dnnl::prop_kind::forward_inference;
        const auto direction = dnnl::rnn_direction::unidirectional_left2right;
#if DNNL_VERSION_MAJOR >= 3
        dnnl::lstm_forward::primitive_desc pd(engine, kind, direction, in.get_desc(), none, none, any_in, any_hidden,
                                              bias_desc, out.get_desc(), none, none);
#else
        dnnl::lstm_forward::desc described(kind, direction, in.get_desc(), none, none, any_in, any_hidden, bias_desc,
                                           out.get_desc(), none, none);
        dnnl::lstm_forward::primitive_desc pd(described, engine);
#endif
        layer made;
        made.primitive = dnnl::lstm_forward(pd);
        made.args = {{DNNL_ARG_SRC_LAYER, in},
                     {DNNL_ARG_WEIGHTS_LAYER,
                      as_wanted(borrow({1, 1, inputs, 4, units}, tag::ldgoi, w_ih), pd.weights_layer_desc())},
                     {DNNL_ARG_WEIGHTS_ITER,
                      as_wanted(borrow({1, 1, units, 4, units}, tag::ldgoi, w_hh), pd.weights_iter_desc())},
                     {DNNL_ARG_BIAS, borrow({1, 1, 4, units}, tag::ldgo, bias)},
                     {DNNL_ARG_DST_LAYER, out}};
        layers.push_back(made);
        return out;
    }

    /* The values in the wanted layout, by a reorder of every run where they are in another. */
    memory turned(memory in, const memory::desc &wanted)
    {
        if (in.get_desc() == wanted)
            return in;
        memory out(wanted, engine);
        layers.push_back({dnnl::reorder(in, out), {{DNNL_ARG_FROM, in}, {DNNL_ARG_TO, out}}});
        return out;
    }

    template <class Desc> int linear(const Desc &pd, dnnl::primitive primitive, memory in, memory weight, float *bias)
    {
        memory source = turned(in, pd.src_desc()), out(pd.dst_desc(), engine);
        long channels = shape_of(pd.dst_desc())[1];

        layers.push_back({primitive,
                          {{DNNL_ARG_SRC, source},
                           {DNNL_ARG_WEIGHTS, as_wanted(weight, pd.weights_desc())},
                           {DNNL_ARG_BIAS, borrow({channels}, tag::x, bias)},
                           {DNNL_ARG_DST, out}}});
        values.push_back(out);
        return static_cast<int>(values.size()) - 1;
    }
};

/* What both kinds of convolution are asked: layouts are any, ReLU is fused. */
struct asked {
    memory::desc src, weights, bias, dst;
    dims stride, left, right;
    dnnl::primitive_attr attr;

    asked(const dims &in, const dims &shape, const dims &out, long step, long pad_left, long pad_right, bool relu)
        : src(in, f32, tag::any), weights(shape, f32, tag::any), bias({out[1]}, f32, tag::x),
          dst(out, f32, tag::any), stride{step}, left{pad_left}, right{pad_right}
    {
        dnnl::post_ops after;

        if (relu) {
#if DNNL_VERSION_MAJOR >= 3
            after.append_eltwise(dnnl::algorithm::eltwise_relu, 0, 0);
#else
            after.append_eltwise(1, dnnl::algorithm::eltwise_relu, 0, 0);
#endif
        }
        attr.set_post_ops(after);
    }
};

const auto inference = dnnl::prop_kind::forward_inference;

int add_conv(net *made, memory in, const dims &shape, float *weight, float *bias, const asked &a)
{
    const auto how = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
    dnnl::convolution_forward::primitive_desc pd(made->engine, inference, how, a.src, a.weights, a.bias, a.dst,
                                                 a.stride, a.left, a.right, a.attr);
#else
    dnnl::convolution_forward::primitive_desc pd(
        {inference, how, a.src, a.weights, a.bias, a.dst, a.stride, a.left, a.right}, a.attr, made->engine);
#endif
    return made->linear(pd, dnnl::convolution_forward(pd), in, made->borrow(shape, tag::oiw, weight), bias);
}

int add_up(net *made, memory in, const dims &shape, float *weight, float *bias, const asked &a)
{
    const auto how = dnnl::algorithm::deconvolution_direct;
#if DNNL_VERSION_MAJOR >= 3
    dnnl::deconvolution_forward::primitive_desc pd(made->engine, inference, how, a.src, a.weights, a.bias, a.dst,
                                                   a.stride, a.left, a.right, a.attr);
#else
    dnnl::deconvolution_forward::primitive_desc pd(
        {inference, how, a.src, a.weights, a.bias, a.dst, a.stride, a.left, a.right}, a.attr, made->engine);
#endif
    return made->linear(pd, dnnl::deconvolution_forward(pd), in, made->borrow(shape, tag::oiw, weight), bias);
}

} // namespace

extern "C" {

int bench_onednn_version(void)
{
    const dnnl_version_t *v = dnnl_version();

    return v->major * 10000 + v->minor * 100 + v->patch;
}

/* in: [rows][batch][inputs], borrowed, as are the weights: {w_ih, w_hh, bias} of both layers. NULL when it cannot. */
void *bench_onednn_lstm(long rows, long batch, long inputs, long units, float *in, float *const *weights)
{
    try {
        std::unique_ptr<net> made(new net);
        memory first = made->add(made->borrow({rows, batch, inputs}, tag::tnc, in), rows, batch, inputs, units,
                                 weights[0], weights[1], weights[2]);
        made->add(first, rows, batch, units, units, weights[3], weights[4], weights[5]);
        return made.release();
    } catch (const std::exception &) {
        return nullptr;
    }
}

/* A convolutional network; value 0 is its input. in: [batch][channels][rows], borrowed, as are all weights and biases.
 */
void *bench_onednn_net(long batch, long channels, long rows, float *in)
{
    net *made = new net;

    made->values.push_back(made->borrow({batch, channels, rows}, tag::ncw, in));
    return made;
}

/* up: transposed. weight: [out][in][kernel] of either. @return the number of its value, -1 when oneDNN refuses */
int bench_onednn_conv(void *handle, int value, int up, long out, long kernel, long stride, long left, long right,
                      int relu, float *weight, float *bias)
{
    net *made = static_cast<net *>(handle);

    try {
        memory in = made->values.at(static_cast<size_t>(value));
        dims shape = shape_of(in.get_desc());
        long rows =
            up ? (shape[2] - 1) * stride + kernel - left - right : (shape[2] + left + right - kernel) / stride + 1;
        asked a(shape, {out, shape[1], kernel}, {shape[0], out, rows}, stride, left, right, relu != 0);

        return (up ? add_up : add_conv)(made, in, {out, shape[1], kernel}, weight, bias, a);
    } catch (const std::exception &) {
        return -1;
    }
}

int bench_onednn_concat(void *handle, int a, int b)
{
    net *made = static_cast<net *>(handle);

    try {
        memory first = made->values.at(static_cast<size_t>(a)), second = made->values.at(static_cast<size_t>(b));
#if DNNL_VERSION_MAJOR >= 3
        dnnl::concat::primitive_desc pd(made->engine, 1, {first.get_desc(), second.get_desc()});
#else
        dnnl::concat::primitive_desc pd(1, {first.get_desc(), second.get_desc()}, made->engine);
#endif
        memory out(pd.dst_desc(), made->engine);
        made->layers.push_back(
            {dnnl::concat(pd),
             {{DNNL_ARG_MULTIPLE_SRC, first}, {DNNL_ARG_MULTIPLE_SRC + 1, second}, {DNNL_ARG_DST, out}}});
        made->values.push_back(out);
        return static_cast<int>(made->values.size()) - 1;
    } catch (const std::exception &) {
        return -1;
    }
}

/* Over the channels of each row, the last layer: [batch][rows][channels], in which oneDNN's softmax is fast. */
int bench_onednn_softmax(void *handle, int value)
{
    net *made = static_cast<net *>(handle);

    try {
        memory in = made->values.at(static_cast<size_t>(value));
        memory plain = made->turned(in, memory::desc(shape_of(in.get_desc()), f32, tag::nwc)),
               out(plain.get_desc(), made->engine);
#if DNNL_VERSION_MAJOR >= 3
        dnnl::softmax_forward::primitive_desc pd(made->engine, inference, dnnl::algorithm::softmax_accurate,
                                                 plain.get_desc(), out.get_desc(), 1);
#else
        dnnl::softmax_forward::primitive_desc pd({inference, plain.get_desc(), 1}, made->engine);
#endif
        made->layers.push_back({dnnl::softmax_forward(pd), {{DNNL_ARG_SRC, plain}, {DNNL_ARG_DST, out}}});
        made->values.push_back(out);
        return static_cast<int>(made->values.size()) - 1;
    } catch (const std::exception &) {
        return -1;
    }
}

/* @return the last layer's values, ours until the next run: an LSTM's [rows][batch][units], else
 * [batch][rows][channels] */
const float *bench_onednn_run(void *handle)
{
    net *ready = static_cast<net *>(handle);

    for (layer &l : ready->layers)
        l.primitive.execute(ready->stream, l.args);
    ready->stream.wait();
    return static_cast<const float *>(ready->layers.back().args.at(DNNL_ARG_DST_LAYER).get_data_handle());
}
}
