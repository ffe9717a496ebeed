/*
 * Two LSTM layers with oneDNN's own primitives, for tests/bench/peers.py, which compiles this where oneDNN is installed.
 * Versions 2 and 3. Weights in the layout oneDNN chooses, reordered once; zero state, forward inference, fp32.
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

struct layer {
    dnnl::lstm_forward primitive;
    std::unordered_map<int, memory> args;
};

struct net {
    dnnl::engine engine{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream{engine};
    std::vector<memory> kept; /* what the layers' arguments were reordered from */
    std::vector<layer> layers;

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
        memory::desc none, any_in({1, 1, inputs, 4, units}, f32, tag::any), any_hidden({1, 1, units, 4, units}, f32, tag::any);
        memory::desc bias_desc({1, 1, 4, units}, f32, tag::ldgo);
        const auto kind = dnnl::prop_kind::forward_inference;
        const auto direction = dnnl::rnn_direction::unidirectional_left2right;
#if DNNL_VERSION_MAJOR >= 3
        dnnl::lstm_forward::primitive_desc pd(engine, kind, direction, in.get_desc(), none, none, any_in, any_hidden, bias_desc,
                                              out.get_desc(), none, none);
#else
        dnnl::lstm_forward::desc described(kind, direction, in.get_desc(), none, none, any_in, any_hidden, bias_desc,
                                           out.get_desc(), none, none);
        dnnl::lstm_forward::primitive_desc pd(described, engine);
#endif
        layer made;
        made.primitive = dnnl::lstm_forward(pd);
        made.args = {{DNNL_ARG_SRC_LAYER, in},
                     {DNNL_ARG_WEIGHTS_LAYER, as_wanted(borrow({1, 1, inputs, 4, units}, tag::ldgoi, w_ih), pd.weights_layer_desc())},
                     {DNNL_ARG_WEIGHTS_ITER, as_wanted(borrow({1, 1, units, 4, units}, tag::ldgoi, w_hh), pd.weights_iter_desc())},
                     {DNNL_ARG_BIAS, borrow({1, 1, 4, units}, tag::ldgo, bias)},
                     {DNNL_ARG_DST_LAYER, out}};
        layers.push_back(made);
        return out;
    }
};

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
        memory first = made->add(made->borrow({rows, batch, inputs}, tag::tnc, in), rows, batch, inputs, units, weights[0],
                                 weights[1], weights[2]);
        made->add(first, rows, batch, units, units, weights[3], weights[4], weights[5]);
        return made.release();
    } catch (const std::exception &) {
        return nullptr;
    }
}

/* @return [rows][batch][units], ours until the next run */
const float *bench_onednn_run(void *handle)
{
    net *ready = static_cast<net *>(handle);

    for (layer &l : ready->layers)
        l.primitive.execute(ready->stream, l.args);
    ready->stream.wait();
    return static_cast<const float *>(ready->layers.back().args.at(DNNL_ARG_DST_LAYER).get_data_handle());
}
}
