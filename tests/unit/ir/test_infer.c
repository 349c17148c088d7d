/* SPDX-License-Identifier: Apache-2.0 */
/* test_infer.c - the type of every op, accepted and refused.
 *
 * A row is one line of IR text over operands of given types.  Accepted rows
 * give the type with its axes; refused ones the beginning of the message.
 */
#include "fixture.h"

#include <string.h>

typedef struct row {
    const char *op;
    const char *operands; /* their types, by ';' */
    const char *attrs;
    const char *type;    /* as stated, and inferred if accepted */
    const char *message; /* NULL: accepted */
} row;

/* A whole entry with the arguments x and axes : f32[T, S]. */
typedef struct entry_row {
    const char *op;
    const char *level;
    const char *x; /* type of x */
    const char *lines;
    const char *message;
} entry_row;

#define X "f32[T, dim=256]"
#define Q "f32[T, heads=8, 32]"
#define KV "f32[512, 4, 32]"

/* clang-format off */
static const row rows[] = {
    {"input", "", "{name=\"x\"}", X, NULL},
    {"input", "", "{name=\"x\"}", "f16[T]", NULL},
    {"input", "", "", X, "'input' needs the attribute 'name'"},
    {"input", "", "{name=3}", X, "expected a string, found '3'"},
    {"param", "", "{name=\"w\"}", "f32[dim=256]", NULL},
    {"param", "", "{name=\"w\"}", "f32[255]", "%1: param 'w' is f32[dim=256], not f32[255]"},
    {"param", "", "{name=\"v\"}", "f32[1]", "%1: no param is named 'v'"},
    {"param", "", "{name=\"w\"}", "bf16[256]", "'param' cannot be bf16[256]: bf16 is for storage"},
    {"param", "", "{name=\"w\"}", "f32[T]", "'param' cannot be f32[T]: its shape must be fixed"},
    {"state", "", "{name=\"s\"}", "f32[512, 4]", NULL},
    {"state", "", "{name=\"q\"}", "f32[512, 4]", "%1: no state is named 'q'"},
    {"adapter_scale", "", "{name=\"tone\"}", "f32[]", NULL},
    {"adapter_scale", "", "{name=\"tune\"}", "f32[]", "%1: no adapter is named 'tune'"},
    {"adapter_scale", "", "{name=\"tone\"}", "f32[1]", "'adapter_scale' gives f32[], not f32[1]"},
    {"iota", "", "{axis=0}", "i32[T]", NULL},
    {"iota", "", "{axis=1}", "f32[2, 3]", NULL},
    {"iota", "", "{axis=1}", "i32[T]", "'iota' got axis=1; i32[T] has axes 0 to 0"},
    {"iota", "", "{axis=0}", "bool[4]", "'iota' cannot be bool[4]; it counts in i32, i64 or f32"},
    {"iota", "", "{axis=0}", "i32[4294967296]", "'iota' counts an axis of extent 4294967296, past i32"},
    {"position", "", "", "i32[]", NULL},
    {"position", "", "", "i64[]", "'position' gives i32[], not i64[]"},
    {"size", X, "{axis=0}", "i32[]", NULL},
    {"size", X, "{axis=-1}", "i32[]", "'size' got axis=-1; f32[T, dim=256] has axes 0 to 1"},

    {"neg", "i32[T]", "", "i32[T]", NULL},
    {"neg", "bool[T]", "", "bool[T]", "'neg' got bool[T]; it takes numbers"},
    {"neg", "f16[T]", "", "f16[T]", "'neg' cannot compute with f16[T]; cast it to f32 or i32 first"},
    {"neg", "f32[2];f32[2]", "", "f32[2]", "'neg' takes 1 operand, got 2"},
    {"abs", X, "", X, NULL},
    {"abs", "bool[]", "", "bool[]", "'abs' got bool[]; it takes numbers"},
    {"sign", "i64[2]", "", "i64[2]", NULL},
    {"sign", "i64[2]", "", "i64[3]", "'sign' gives i64[2], not i64[3]"},
    {"floor", X, "", X, NULL},
    {"floor", "i32[2]", "", "i32[2]", "'floor' got i32[2]; it takes f32"},
    {"ceil", X, "", X, NULL},
    {"ceil", "i32[2]", "", "i32[2]", "'ceil' got i32[2]; it takes f32"},
    {"round", X, "", X, NULL},
    {"round", "i32[2]", "", "i32[2]", "'round' got i32[2]; it takes f32"},
    {"exp", X, "", X, NULL},
    {"exp", "i32[2]", "", "i32[2]", "'exp' got i32[2]; it takes f32"},
    {"log", X, "", X, NULL},
    {"log", "bool[2]", "", "bool[2]", "'log' got bool[2]; it takes f32"},
    {"sqrt", X, "", X, NULL},
    {"sqrt", "i64[2]", "", "i64[2]", "'sqrt' got i64[2]; it takes f32"},
    {"rsqrt", X, "", X, NULL},
    {"rsqrt", "i32[]", "", "i32[]", "'rsqrt' got i32[]; it takes f32"},
    {"tanh", X, "", X, NULL},
    {"tanh", "i32[]", "", "i32[]", "'tanh' got i32[]; it takes f32"},
    {"erf", X, "", X, NULL},
    {"erf", "i32[]", "", "i32[]", "'erf' got i32[]; it takes f32"},
    {"sin", X, "", X, NULL},
    {"sin", "i32[]", "", "i32[]", "'sin' got i32[]; it takes f32"},
    {"cos", X, "", X, NULL},
    {"cos", "i32[]", "", "i32[]", "'cos' got i32[]; it takes f32"},
    {"sigmoid", X, "", X, NULL},
    {"sigmoid", "i32[]", "", "i32[]", "'sigmoid' got i32[]; it takes f32"},
    {"not", "bool[T]", "", "bool[T]", NULL},
    {"not", "i32[T]", "", "i32[T]", "'not' got i32[T]; it takes bool"},
    {"cast", "bf16[T]", "{dtype=f32}", "f32[T]", NULL},
    {"cast", "f32[dim=256]", "{dtype=bool}", "bool[dim=256]", NULL},
    {"cast", "f32[T]", "{dtype=u8}", "u8[T]", "'cast' cannot give u8, a type for storage"},
    {"cast", "f32[T]", "{dtype=f33}", "f32[T]", "expected an element type, found 'f33'"},

    {"add", X ";f32[dim=256]", "", X, NULL},
    {"add", "f32[T, 1];f32[dim=256]", "", X, NULL},
    {"add", "f32[256];f32[dim=256]", "", "f32[dim=256]", NULL},
    {"add", "f32[dim=256];f32[heads*heads=256]", "", "f32[dim=256]", NULL},
    {"add", "f32[];f32[2, 1, 3]", "", "f32[2, 1, 3]", NULL},
    {"add", "f32[0];f32[1]", "", "f32[0]", NULL},
    {"add", X ";f32[3]", "", X, "'add' got f32[T, dim=256] and f32[3]; last dimensions 256 and 3 cannot broadcast"},
    {"add", "f32[T, 2];f32[S, 2]", "", "f32[T, 2]", "'add' got f32[T, 2] and f32[S, 2]; dimensions 2 from the end T and S cannot broadcast"},
    {"add", "f32[2T+1];f32[T]", "", "f32[T]", "'add' got f32[2T+1] and f32[T]; last dimensions 2T+1 and T cannot broadcast"},
    {"add", "f32[2];i32[2]", "", "f32[2]", "'add' got f32[2] and i32[2]; the element types differ"},
    {"add", "bool[2];bool[2]", "", "bool[2]", "'add' got bool[2]; it takes numbers"},
    {"add", "f32[2]", "", "f32[2]", "'add' takes 2 operands, got 1"},
    {"sub", "i32[2];i32[]", "", "i32[2]", NULL},
    {"sub", "i32[2];i32[3]", "", "i32[2]", "'sub' got i32[2] and i32[3]"},
    {"mul", X ";" X, "", X, NULL},
    {"mul", "bool[];bool[]", "", "bool[]", "'mul' got bool[]; it takes numbers"},
    {"div", "i64[2];i64[1]", "", "i64[2]", NULL},
    {"div", "i64[2];i32[1]", "", "i64[2]", "'div' got i64[2] and i32[1]; the element types differ"},
    {"mod", "f32[2];f32[2]", "", "f32[2]", NULL},
    {"mod", "f32[2];f32[4]", "", "f32[2]", "'mod' got"},
    {"pow", X ";f32[]", "", X, NULL},
    {"pow", "i32[];i32[]", "", "i32[]", "'pow' got i32[]; it takes f32"},
    {"max", "i32[3];i32[3]", "", "i32[3]", NULL},
    {"max", "bool[3];bool[3]", "", "bool[3]", "'max' got bool[3]; it takes numbers"},
    {"min", "f32[3];f32[1]", "", "f32[3]", NULL},
    {"min", "f32[3];f32[2]", "", "f32[3]", "'min' got"},
    {"eq", "bool[3];bool[]", "", "bool[3]", NULL},
    {"eq", "f32[3];i32[3]", "", "bool[3]", "'eq' got f32[3] and i32[3]; the element types differ"},
    {"ne", "f32[T];f32[]", "", "bool[T]", NULL},
    {"ne", "f32[T];f32[2]", "", "bool[T]", "'ne' got"},
    {"lt", "i64[T];i64[1]", "", "bool[T]", NULL},
    {"lt", "i64[T];i64[1]", "", "i64[T]", "'lt' gives bool[T], not i64[T]"},
    {"le", "f32[2];f32[2]", "", "bool[2]", NULL},
    {"le", "f32[2];f32[5]", "", "bool[2]", "'le' got"},
    {"and", "bool[2];bool[2]", "", "bool[2]", NULL},
    {"and", "i32[2];i32[2]", "", "i32[2]", "'and' got i32[2]; it takes bool"},
    {"or", "bool[T, 1];bool[3]", "", "bool[T, 3]", NULL},
    {"or", "f32[];f32[]", "", "f32[]", "'or' got f32[]; it takes bool"},
    {"select", "bool[T, 1];f32[dim=256];f32[]", "", X, NULL},
    {"select", "i32[2];f32[2];f32[2]", "", "f32[2]", "'select' got i32[2] as condition; it must be bool"},
    {"select", "bool[2];f32[2];i32[2]", "", "f32[2]", "'select' got f32[2] and i32[2]; the element types differ"},
    {"select", "bool[3];f32[2];f32[2]", "", "f32[2]", "'select' got f32[2] and bool[3]; last dimensions 2 and 3"},
    {"add_if", X ";f32[dim=256];f32[]", "", X, NULL},
    {"add_if", "f32[];f32[];f32[2]", "", "f32[2]", NULL},
    {"add_if", "i32[2];i32[2];i32[]", "", "i32[2]", "'add_if' got i32[2]; it takes f32"},
    {"add_if", "f32[2];f32[2];bool[]", "", "f32[2]", "'add_if' got f32[2] and bool[]; the element types differ"},
    {"add_if", "f32[2];f32[3];f32[]", "", "f32[2]", "'add_if' got f32[2] and f32[3]; last dimensions 2 and 3"},

    {"reduce.sum", X, "{axes=[1], keep=true}", "f32[T, 1]", NULL},
    {"reduce.sum", X, "{axes=[0, 1]}", "f32[]", NULL},
    {"reduce.sum", X, "{axes=[1, 0]}", "f32[]", "'reduce.sum' names its axes out of order"},
    {"reduce.sum", X, "{axes=[1, 1]}", "f32[T]", "'reduce.sum' names axis 1 of f32[T, dim=256] twice"},
    {"reduce.sum", X, "{axes=[2]}", "f32[T]", "'reduce.sum' names axis 2 in 'axes'; f32[T, dim=256] has axes 0 to 1"},
    {"reduce.sum", X, "{axes=[]}", X, "'reduce.sum' names no axis to reduce"},
    {"reduce.sum", "bool[2]", "{axes=[0]}", "bool[]", "'reduce.sum' got bool[2]; it takes numbers"},
    {"reduce.max", "i32[T, 3]", "{axes=[0]}", "i32[3]", NULL},
    {"reduce.max", "i32[]", "{axes=[0]}", "i32[]", "'reduce.max' names axis 0 in 'axes'; i32[] has axes 0 to -1"},
    {"reduce.min", "f32[0, 3]", "{axes=[0]}", "f32[3]", NULL},
    {"reduce.min", "f32[3]", "", "f32[]", "'reduce.min' needs the attribute 'axes'"},
    {"argmax", X, "{axis=1}", "i32[T]", NULL},
    {"argmax", "f32[0]", "{axis=0}", "i32[]", "'argmax' got f32[0]; axis 0 may have no element"},
    {"argmax", "bool[2]", "{axis=0}", "i32[]", "'argmax' got bool[2]; it takes numbers"},

    {"contract", X ";f32[heads=8, dim=256]", "{a=[1], b=[1]}", "f32[T, heads=8]", NULL},
    {"contract", "f32[8, T, 4];f32[8, 5, 4]", "{a=[2], b=[2], batch_a=[0], batch_b=[0]}", "f32[8, T, 5]", NULL},
    {"contract", "f32[2];f32[3]", "{a=[], b=[]}", "f32[2, 3]", NULL},
    {"contract", "f32[2];f32[3]", "{a=[0], b=[0]}", "f32[]", "'contract' got f32[2] and f32[3]; paired extents 2 and 3 differ"},
    {"contract", "f32[2];f32[2]", "{a=[0], b=[]}", "f32[]", "'contract' pairs 1 axes in 'a' with 0 in 'b'"},
    {"contract", "f32[2, 2];f32[2, 2]", "{a=[0], b=[0], batch_a=[0], batch_b=[1]}", "f32[]", "'contract' names axis 0 of f32[2, 2] twice"},
    {"contract", "i32[2];i32[2]", "{a=[0], b=[0]}", "i32[]", "'contract' got i32[2]; it takes f32"},
    {"contract", "f32[1,1,1,1,1];f32[1,1,1,1,1]", "{a=[0], b=[0]}", "f32[1,1,1,1,1,1,1,1]", NULL},
    {"contract", "f32[1,1,1,1,1];f32[1,1,1,1,1]", "{a=[], b=[]}", "f32[]", "'contract' got f32[1, 1, 1, 1, 1] and f32[1, 1, 1, 1, 1]; the result would have 10 axes"},

    {"reshape", X, "", "f32[T, heads=8, 32]", NULL},
    {"reshape", "f32[T, 2, S]", "", "f32[2S, T]", NULL},
    {"reshape", "f32[2T+2, 3]", "", "f32[6, T+1]", NULL},
    {"reshape", "f32[0, 5]", "", "f32[7, 0]", NULL},
    {"reshape", "f32[1]", "", "f32[]", NULL},
    {"reshape", X, "", "f32[T, 255]", "'reshape' cannot turn f32[T, dim=256] into f32[T, 255]; the numbers of elements differ"},
    {"reshape", "f32[T, T]", "", "f32[T, S]", "'reshape' cannot turn f32[T, T] into f32[T, S]; the numbers of elements differ"},
    {"reshape", "f32[2]", "", "i32[2]", "'reshape' cannot turn f32[2] into i32[2]; use cast"},
    {"transpose", "f32[T, 2, 3]", "{perm=[2, 0, 1]}", "f32[3, T, 2]", NULL},
    {"transpose", "f32[]", "{perm=[]}", "f32[]", NULL},
    {"transpose", "f32[2, 3]", "{perm=[0]}", "f32[2]", "'transpose' got f32[2, 3] and a permutation of 1 axes"},
    {"transpose", "f32[2, 3]", "{perm=[0, 0]}", "f32[2, 2]", "'transpose' names axis 0 of f32[2, 3] twice"},
    {"broadcast", "f32[1, dim=256]", "", "f32[S, T, dim=256]", NULL},
    {"broadcast", "f32[2]", "", "f32[3]", "'broadcast' cannot repeat f32[2] to f32[3]"},
    {"broadcast", "f32[2, 1]", "", "f32[2]", "'broadcast' cannot repeat f32[2, 1] to f32[2]"},
    {"slice", "f32[10]", "{start=[-1], step=[-3]}", "f32[4]", NULL},
    {"slice", "f32[10]", "{start=[-1], step=[-3]}", "f32[5]", "'slice' takes 5 elements of f32[10] on axis 0 from -1 by -3; some lie outside"},
    {"slice", X, "{start=[-1, 0], step=[1, 1]}", "f32[1, dim=256]", NULL},
    {"slice", "f32[T]", "{start=[1], step=[1]}", "f32[1]", "'slice' takes 1 elements of f32[T] on axis 0 from 1 by 1; some lie outside"},
    {"slice", "f32[T+1]", "{start=[1], step=[1]}", "f32[T]", NULL},
    {"slice", "f32[512]", "{start=[0], step=[1]}", "f32[T]", NULL},
    {"slice", "f32[512]", "{start=[1], step=[1]}", "f32[T]", "'slice' takes T elements of f32[512]"},
    {"slice", "f32[T]", "{start=[0], step=[2]}", "f32[T]", "'slice' takes T elements"},
    {"slice", "f32[4]", "{start=[0], step=[0]}", "f32[1]", "'slice' takes 1 elements of f32[4] on axis 0 from 0 by 0"},
    {"slice", "f32[4]", "{start=[4], step=[1]}", "f32[0]", NULL},
    {"slice", "f32[4]", "{start=[5], step=[1]}", "f32[0]", "'slice' takes 0 elements"},
    {"slice", "f32[10]", "{start=[0], step=[5]}", "f32[2]", NULL},
    {"slice", "f32[10]", "{start=[0], step=[5]}", "f32[3]", "'slice' takes 3 elements"},
    {"slice", "f32[10]", "{start=[2], step=[-1]}", "f32[3]", NULL},
    {"slice", "f32[10]", "{start=[2], step=[-1]}", "f32[4]", "'slice' takes 4 elements"},
    {"slice", "f32[10]", "{start=[-2], step=[1]}", "f32[2]", NULL},
    {"slice", "f32[10]", "{start=[-2], step=[1]}", "f32[3]", "'slice' takes 3 elements"},
    {"slice", "f32[10]", "{start=[-11], step=[1]}", "f32[1]", "'slice' takes 1 elements"},
    {"slice", "f32[10]", "{start=[-1], step=[-9]}", "f32[2]", NULL},
    {"slice", "f32[10]", "{start=[-1], step=[-10]}", "f32[2]", "'slice' takes 2 elements"},
    {"slice", "f32[4]", "{start=[0, 0], step=[1]}", "f32[4]", "'slice' got f32[4] and 2 numbers in 'start'"},
    {"slice", "f32[4]", "{start=[9223372036854775807], step=[9223372036854775807]}", "f32[3]", "'slice' takes 3 elements"},
    {"pad", "f32[T, dim=256]", "{low=[1, 0], high=[2, 0], value=-inf}", "f32[T+3, dim=256]", NULL},
    {"pad", "bool[2]", "{low=[1], high=[0], value=1}", "bool[3]", NULL},
    {"pad", "bool[2]", "{low=[1], high=[0], value=2}", "bool[3]", "'pad' cannot pad bool[2] with 2"},
    {"pad", "i32[2]", "{low=[1], high=[0], value=0.5}", "i32[3]", "'pad' cannot pad i32[2] with 0.5"},
    {"pad", "f32[2]", "{low=[-1], high=[0]}", "f32[1]", "'pad' has a negative border on axis 0"},
    {"pad", "f32[2]", "{low=[9223372036854775807], high=[0]}", "f32[1]", "'pad' has a border past i64"},
    {"pad", "f32[2]", "{low=[4611686018427387904], high=[0]}", "f32[2]", "'pad' is f32[4611686018427387906]: too large"},
    {"concat", "f32[T, 3];f32[T+1, 3]", "{axis=0}", "f32[2T+1, 3]", NULL},
    {"concat", "f32[dim=256]", "{axis=0}", "f32[dim=256]", NULL},
    {"concat", "f32[T];f32[S]", "{axis=0}", "f32[T]", "'concat' cannot add extents T and S on axis 0"},
    {"concat", "f32[2, 3];f32[2, 4]", "{axis=0}", "f32[4, 3]", "'concat' got f32[2, 3] and f32[2, 4]; extents 3 and 4 differ"},
    {"concat", "f32[2];i32[2]", "{axis=0}", "f32[4]", "'concat' got f32[2] and i32[2]; element types"},
    {"concat", "", "{axis=0}", "f32[4]", "'concat' takes 1 or more operands, got 0"},

    {"gather", "f32[dim=256, 3];i32[T, 2]", "", "f32[T, 2, 3]", NULL},
    {"gather", "f32[dim=256];i64[]", "", "f32[]", NULL},
    {"gather", "f32[4];f32[2]", "", "f32[2]", "'gather' got f32[2] as indices; they must be integers"},
    {"gather", "f32[0, 2];i32[2]", "", "f32[2, 2]", "'gather' got f32[0, 2] as table; it must have rows"},
    {"gather", "f32[];i32[2]", "", "f32[2]", "'gather' got f32[] as table; it must have rows"},

    {"linear", X ";f32[heads=8, dim=256]", "", "f32[T, heads=8]", NULL},
    {"linear", X ";f32[heads=8, dim=256];f32[heads=8]", "", "f32[T, heads=8]", NULL},
    {"linear", "f32[256];f32[8, 256]", "", "f32[8]", NULL},
    {"linear", X ";f32[8, 255]", "", "f32[T, 8]", "'linear' got f32[T, dim=256] and f32[8, 255]; contracted extents 256 and 255 differ"},
    {"linear", X ";f32[8, 256];f32[7]", "", "f32[T, 8]", "'linear' got f32[T, dim=256] and f32[7] as operand 3; it must be f32[8]"},
    {"linear", X ";f32[256]", "", "f32[T]", "'linear' got f32[256] as operand 2; it must be a matrix [out, in]"},
    {"linear", "f32[];f32[8, 1]", "", "f32[8]", "'linear' got f32[]; it works along the last axis"},
    {"linear", X, "", X, "'linear' takes 2 or 3 operands, got 1"},
    {"embed", "i32[T];f32[1000, dim=256]", "", X, NULL},
    {"embed", "f32[T];f32[1000, 256]", "", X, "'embed' got f32[T] as indices; they must be integers"},
    {"embed", "i32[T];f32[1000]", "", X, "'embed' got f32[1000] as operand 2; it must be a table [rows, width]"},
    {"mean", X, "{axes=[1]}", "f32[T]", NULL},
    {"mean", "i32[2]", "{axes=[0]}", "i32[]", "'mean' got i32[2]; it takes f32"},
    {"rms_norm", X ";f32[dim=256]", "{eps=1e-6}", X, NULL},
    {"rms_norm", X ";f32[255]", "", X, "'rms_norm' got f32[T, dim=256] and f32[255] as operand 2; it must be f32[256]"},
    {"rms_norm", X ";f32[256]", "{eps=-1}", X, "'rms_norm' got eps=-1; it must lie in 0 to 1"},
    {"rms_norm", X ";f32[256]", "{extent=300}", X, NULL},
    {"rms_norm", X ";f32[256]", "{extent=-1}", X, "'rms_norm' got extent=-1; it must not be negative"},
    {"rms_norm", X ";f32[256]", "{eps=nan}", X, "'rms_norm' got eps=nan"},
    {"layer_norm", X ";f32[dim=256];f32[dim=256]", "", X, NULL},
    {"layer_norm", X ";f32[256];f32[T]", "", X, "'layer_norm' got f32[T, dim=256] and f32[T] as operand 3; it must be f32[256]"},
    {"softmax", X, "", X, NULL},
    {"softmax", "f32[]", "", "f32[]", "'softmax' got f32[]; it works along the last axis"},
    {"relu", X, "", X, NULL},
    {"relu", "i32[2]", "", "i32[2]", "'relu' got i32[2]; it takes f32"},
    {"silu", X, "", X, NULL},
    {"silu", "i32[2]", "", "i32[2]", "'silu' got i32[2]; it takes f32"},
    {"gelu", X, "", X, NULL},
    {"gelu", "i32[2]", "", "i32[2]", "'gelu' got i32[2]; it takes f32"},
    {"gelu_tanh", X, "", X, NULL},
    {"gelu_tanh", "i32[2]", "", "i32[2]", "'gelu_tanh' got i32[2]; it takes f32"},
    {"swiglu", X ";" X, "", X, NULL},
    {"swiglu", X ";f32[3]", "", X, "'swiglu' got f32[T, dim=256] and f32[3]; last dimensions 256 and 3 cannot broadcast"},
    {"lora", "f32[8, 4];f32[2, 4];f32[8, 2]", "{scale=0.5}", "f32[8, 4]", NULL},
    {"lora", "f32[8, 4];f32[2, 8];f32[8, 2]", "", "f32[8, 4]", "'lora' got f32[8, 4] and f32[2, 8]; input extents 4 and 8 differ"},
    {"lora", "f32[8, 4];f32[2, 4];f32[4, 2]", "", "f32[8, 4]", "'lora' got f32[8, 4] and f32[4, 2]; output extents 8 and 4 differ"},
    {"lora", "f32[8, 4];f32[2, 4];f32[8, 3]", "", "f32[8, 4]", "'lora' got f32[2, 4] and f32[8, 3]; ranks 2 and 3 differ"},
    {"lora", "f32[8, 4];f32[2, 4];f32[8, 2]", "{scale=inf}", "f32[8, 4]", "'lora' got scale=inf; it must be finite"},
    {"lora", "f32[8];f32[2, 4];f32[8, 2]", "", "f32[8]", "'lora' got f32[8] as operand 1; it must be a matrix [out, in]"},
    {"singlora", "f32[8, 4];f32[8, 2]", "", "f32[8, 4]", NULL},
    {"singlora", "f32[4, 8];f32[8, 2]", "{scale=2}", "f32[4, 8]", NULL},
    {"singlora", "f32[4, 8];f32[4, 2]", "", "f32[4, 8]", "'singlora' got f32[4, 8] and f32[4, 2]; larger extents 8 and 4 differ"},
    {"singlora", "f32[T, 8];f32[8, 2]", "", "f32[T, 8]", "'singlora' got f32[T, 8]; its extents must be static"},
    {"dora", "f32[8, 4];f32[2, 4];f32[8, 2];f32[8]", "", "f32[8, 4]", NULL},
    {"dora", "f32[8, 4];f32[2, 4];f32[8, 2];f32[4]", "", "f32[8, 4]", "'dora' got f32[8, 4] and f32[4] as operand 4; it must be f32[8]"},
    {"rope", Q ";i32[]", "{theta=500000, style=\"interleaved\", dims=16}", Q, NULL},
    {"rope", Q ";i32[]", "{factor=8, low=1, high=4, original=8192}", Q, NULL},
    {"rope", Q ";i32[]", "{style=\"neox\"}", Q, "'rope' got style \"neox\"; it is \"half\" or \"interleaved\""},
    {"rope", Q ";i32[]", "{dims=15}", Q, "'rope' got dims=15; it must be even and at most 32"},
    {"rope", Q ";i32[]", "{low=2, high=1, original=4}", Q, "'rope' got low=2, high=1, original=4; llama3 scaling"},
    {"rope", Q ";i32[]", "{high=1}", Q, "'rope' got 'high' or 'original' without 'low'"},
    {"rope", Q ";i32[]", "{theta=0}", Q, "'rope' got theta=0, factor=1; both must be positive"},
    {"rope", Q ";f32[]", "", Q, "'rope' got f32[] as position; it must be i32[]"},
    {"rope", "f32[T, 2, 7];i32[]", "", "f32[T, 2, 7]", "'rope' got f32[T, 2, 7]; the last extent must be even"},
    {"rope", X ";i32[]", "", X, "'rope' got f32[T, dim=256] as operand 1; it must be [tokens, heads, head_dim]"},
    {"attention", Q ";" KV ";" KV ";i32[]", "{causal=false, window=64}", Q, NULL},
    {"attention", Q ";f32[512, 3, 32];f32[512, 3, 32];i32[]", "", Q, "'attention' got 8 heads and 3 key heads; the first must be a multiple of the second"},
    {"attention", Q ";" KV ";f32[511, 4, 32];i32[]", "", Q, "'attention' got f32[512, 4, 32] and f32[511, 4, 32]; numbers of keys 512 and 511 differ"},
    {"attention", Q ";f32[512, 4, 16];f32[512, 4, 16];i32[]", "", Q, "'attention' got f32[T, heads=8, 32] and f32[512, 4, 16]; head dimensions 32 and 16 differ"},
    {"attention", Q ";" KV ";" KV ";i32[1]", "", Q, "'attention' got i32[1] as position; it must be i32[]"},
    {"attention", Q ";" KV ";" KV ";i32[]", "{window=-1}", Q, "'attention' got window=-1; it must not be negative"},
    {"attention", Q ";" KV ";" KV ";i32[]", "{scale=-0.5}", Q, "'attention' got scale=-0.5; it must not be negative"},
    {"attention", Q ";" KV ";" KV, "", Q, "'attention' takes 4 operands, got 3"},
};

/* Whole entries, for ops that need more than a line around them. */
static const entry_row entries[] = {
    {"const", "core", "f32[T]",
     "%1 = const [1, 2.5] : f32[2]\nreturn \"r\" %1\n",
     NULL},
    {"const", "core", "f32[T]",
     "%1 = const true : bool[]\nreturn \"r\" %1\n",
     NULL},
    {"const", "core", "f32[T]",
     "%1 = const [1] : f32[2]\nreturn \"r\" %1\n",
     "1 values given for f32[2]"},
    {"const", "core", "f32[T]",
     "%1 = const [1] : f32[T]\nreturn \"r\" %1\n",
     "a constant cannot be f32[T]"},
    {"const", "core", "f32[T]",
     "%1 = const 1 : f16[]\nreturn \"r\" %1\n",
     "a constant cannot be f16[]"},
    {"const", "core", "f32[T]",
     "%1 = const 2147483648 : i32[]\nreturn \"r\" %1\n",
     "2147483648 does not fit i32"},
    {"append", "core", "f32[T, 4]",
     "%1 = state {name=\"s\"} : f32[512, 4]\n%2 = input {name=\"x\"} : f32[T, 4]\n"
     "%3 = append %1, %2 : f32[512, 4]\nupdate \"s\" %3\n",
     NULL},
    {"append", "core", "f32[2T, 4]",
     "%1 = state {name=\"s\"} : f32[512, 4]\n%2 = input {name=\"x\"} : f32[2T, 4]\n"
     "%3 = append %1, %2 : f32[512, 4]\nupdate \"s\" %3\n",
     "'append' got state f32[512, 4] and f32[2T, 4]; all but the first"},
    {"append", "core", "f32[T, 5]",
     "%1 = state {name=\"s\"} : f32[512, 4]\n%2 = input {name=\"x\"} : f32[T, 5]\n"
     "%3 = append %1, %2 : f32[512, 4]\nupdate \"s\" %3\n",
     "'append' got state f32[512, 4] and f32[T, 5]"},
    {"kernel", "kernel", "f32[T]",
     "%1 = input {name=\"x\"} : f32[T]\n%2 = kernel %1 {family=\"loop\"} : f32[T] {\n"
     "%1 = arg {index=0} : f32[T]\n%2 = neg %1 : f32[T]\nreturn %2\n}\nreturn \"r\" %2\n",
     NULL},
    {"kernel", "kernel", "f32[T]",
     "%1 = input {name=\"x\"} : f32[T]\n%2 = kernel %1 {family=\"gpu\"} : f32[T] {\n"
     "%1 = arg {index=0} : f32[T]\nreturn %1\n}\nreturn \"r\" %2\n",
     "'kernel' got family \"gpu\"; it is"},
    {"kernel", "kernel", "f32[T]",
     "%1 = input {name=\"x\"} : f32[T]\n%2 = kernel %1 {family=\"loop\", slot=-2} : f32[T] {\n"
     "%1 = arg {index=0} : f32[T]\nreturn %1\n}\nreturn \"r\" %2\n",
     "'kernel' has a negative slot"},
    {"kernel", "kernel", "f32[T]",
     "%1 = input {name=\"x\"} : f32[T]\n%2 = kernel %1 {family=\"loop\"} : f32[T] {\n"
     "%1 = arg {index=0} : f32[T]\n}\nreturn \"r\" %2\n",
     "'kernel' needs a body with one result"},
    {"kernel", "kernel", "f32[T]",
     "%1 = input {name=\"x\"} : f32[T]\n%2 = kernel %1 {family=\"loop\"} : f32[S] {\n"
     "%1 = arg {index=0} : f32[T]\nreturn %1\n}\nreturn \"r\" %2\n",
     "'kernel' gives f32[T], not f32[S]"},
    {"arg", "kernel", "bf16[T]",
     "%1 = input {name=\"x\"} : bf16[T]\n%2 = kernel %1 {family=\"loop\"} : f32[T] {\n"
     "%1 = arg {index=0} : bf16[T]\n%2 = cast %1 {dtype=f32} : f32[T]\nreturn %2\n}\nreturn \"r\" %2\n",
     NULL},
    {"arg", "kernel", "f32[T]",
     "%1 = input {name=\"x\"} : f32[T]\n%2 = kernel %1 {family=\"loop\"} : f32[T] {\n"
     "%1 = arg {index=1} : f32[T]\nreturn %1\n}\nreturn \"r\" %2\n",
     "'kernel' has 1 operands; its body uses arg 1"},
    {"arg", "kernel", "f32[T]",
     "%1 = input {name=\"x\"} : f32[T]\n%2 = kernel %1 {family=\"loop\"} : f32[S] {\n"
     "%1 = arg {index=0} : f32[S]\nreturn %1\n}\nreturn \"r\" %2\n",
     "'kernel' got f32[T] as operand 1; its body takes f32[S]"},
    {"arg", "kernel", "f32[T]",
     "%1 = input {name=\"x\"} : f32[T]\n%2 = kernel %1 {family=\"loop\"} : f32[T] {\n"
     "%1 = arg {index=-1} : f32[T]\nreturn %1\n}\nreturn \"r\" %2\n",
     "'arg' has a negative index"},
};
/* clang-format on */
enum {
    ROWS = sizeof rows / sizeof rows[0],
    ENTRIES = sizeof entries / sizeof entries[0]
};

static const char header[] = "unit t\n"
                             "axis T in 1..512\n"
                             "axis S in 1..64\n"
                             "axis dim = 256\n"
                             "axis heads = 8\n"
                             "adapter tone 1\n"
                             "param \"w\" : f32[dim=256]\n"
                             "state \"s\" append : f32[512, 4]\n";

/* The row as a unit; *count: operands. */
static const char *unit_text(fixture *f, const row *r, uint32_t *count)
{
    tegu_text text = {.arena = f->arena};
    uint32_t n = 0;
    /* `axes` is an argument so that every symbol is bound. */
    tegu_text_printf(&text, "%sentry e(\"axes\" : f32[T, S]", header);
    for (const char *p = r->operands; *p; n++) {
        const char *end = strchr(p, ';');
        size_t size = end ? (size_t)(end - p) : strlen(p);
        tegu_text_printf(&text, ", \"a%u\" : %.*s", n + 1, (int)size, p);
        p += end ? size + 1 : size;
    }
    if (strcmp(r->op, "input") == 0)
        tegu_text_printf(&text, ", \"x\" : %s", r->type);
    tegu_text_printf(&text, ") model {\n");
    n = 0;
    for (const char *p = r->operands; *p; n++) {
        const char *end = strchr(p, ';');
        size_t size = end ? (size_t)(end - p) : strlen(p);
        tegu_text_printf(&text, "%%%u = input {name=\"a%u\"} : %.*s\n", n + 1,
                         n + 1, (int)size, p);
        p += end ? size + 1 : size;
    }
    tegu_text_printf(&text, "%%%u = %s", n + 1, r->op);
    for (uint32_t i = 0; i < n; i++)
        tegu_text_printf(&text, "%s%%%u", i ? ", " : " ", i + 1);
    tegu_text_printf(&text, " %s : %s\nreturn \"r\" %%%u\n}\n", r->attrs,
                     r->type, n + 1);
    *count = n;
    return tegu_text_cstr(&text);
}

/* What inference alone says of the last node: type and axes. */
static void check_inferred(fixture *f, const row *r, tegu_unit *unit)
{
    const tegu_graph *g = unit->entries.data[0].graph;
    const tegu_node *node = tegu_graph_node(g, g->nodes.count - 1);
    tegu_node_spec spec = {.op = node->op,
                           .inputs = node->inputs,
                           .input_count = node->input_count,
                           .attrs = node->attrs,
                           .attr_count = tegu_op_get(node->op)->attr_count};
    const char *rule = tegu_op_get(node->op)->infer;
    static const char *const given[] = {"GIVEN", "IOTA", "RESHAPE",
                                        "BROADCAST_TO", "SLICE"};
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++)
        if (strcmp(rule, given[i]) == 0)
            spec.type = node->type;
    const tegu_type *type = tegu_infer(g, &spec);
    assert_non_null(type);
    const char *shown = tegu_type_string(unit, f->arena, type);
    const char *stated = tegu_type_string(unit, f->arena, node->type);
    if (strcmp(shown, stated) != 0)
        fail_msg("'%s' of %s gives %s, expected %s", r->op, r->operands, shown,
                 stated);
}

static void types_follow_the_rules(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        fixture f = fixture_open();
        uint32_t count;
        const char *text = unit_text(&f, &rows[i], &count);
        if (rows[i].message) {
            if (parse(&f, text))
                fail_msg("accepted:\n%s", text);
            assert_message(&f, rows[i].message);
        } else {
            check_inferred(&f, &rows[i], parse_good(&f, text));
        }
        fixture_close(&f);
    }
}

static void whole_entries_follow_the_rules(void **state)
{
    (void)state;
    for (int i = 0; i < ENTRIES; i++) {
        fixture f = fixture_open();
        const char *text = tegu_format(
            f.arena, "%sentry e(\"x\" : %s, \"axes\" : f32[T, S]) %s {\n%s}\n",
            header, entries[i].x, entries[i].level, entries[i].lines);
        if (entries[i].message) {
            if (parse(&f, text))
                fail_msg("accepted:\n%s", text);
            assert_message(&f, entries[i].message);
        } else {
            parse_good(&f, text);
        }
        fixture_close(&f);
    }
}

static void every_op_has_a_row_of_each_kind(void **state)
{
    (void)state;
    enum { ACCEPTED, REFUSED };
    bool seen[2][TEGU_OP_COUNT + 1] = {{false}};
    for (int i = 0; i < ROWS; i++)
        seen[rows[i].message ? REFUSED : ACCEPTED]
            [tegu_op_find(rows[i].op, strlen(rows[i].op))] = true;
    for (int i = 0; i < ENTRIES; i++)
        seen[entries[i].message ? REFUSED : ACCEPTED]
            [tegu_op_find(entries[i].op, strlen(entries[i].op))] = true;
    for (int op = 0; op < TEGU_OP_COUNT; op++)
        if (!seen[ACCEPTED][op] || !seen[REFUSED][op])
            fail_msg("'%s' has no row that is %s",
                     tegu_op_get((tegu_op)op)->text,
                     seen[ACCEPTED][op] ? "refused" : "accepted");
    assert_false(seen[ACCEPTED][TEGU_OP_COUNT]);
}

static void op_table_is_consistent(void **state)
{
    (void)state;
    uint32_t attrs = 0;
    for (int i = 0; i < TEGU_OP_COUNT; i++) {
        const tegu_op_info *op = tegu_op_get((tegu_op)i);
        assert_int_equal(tegu_op_find(op->text, strlen(op->text)), i);
        assert_true(op->min <= op->max);
        assert_true(op->levels != 0 || i == TEGU_OP_ARG);
        for (uint32_t k = 0; k < op->attr_count; k++, attrs++)
            assert_int_equal(op->attrs[k].op, i);
    }
    assert_true(attrs > 30);
    assert_int_equal(tegu_op_find("ad", 2), TEGU_OP_COUNT);
    assert_int_equal(tegu_op_find("adds", 4), TEGU_OP_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(op_table_is_consistent),
        cmocka_unit_test(types_follow_the_rules),
        cmocka_unit_test(whole_entries_follow_the_rules),
        cmocka_unit_test(every_op_has_a_row_of_each_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
