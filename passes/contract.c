/* SPDX-License-Identifier: Apache-2.0 */
/* contract.c - which axes of a contraction meet.
 *
 * A result's axes are the pairs that run along, then the operands' own axes,
 * first a's, then b's, in their order (docs/ir.md).
 */
#include "passes/contract.h"

static const struct {
    const char *summed, *batch;
} keys[] = {{"a", "batch_a"}, {"b", "batch_b"}};

static int partner_in(const tegu_node *node, const char *key, const char *other,
                      uint32_t axis)
{
    const tegu_attr *list = tegu_node_attr(node, key);

    for (uint32_t i = 0; i < list->as.ints.count; i++)
        if (list->as.ints.data[i] == (int64_t)axis)
            return (int)tegu_node_attr(node, other)->as.ints.data[i];
    return -1;
}

int tegu_contract_partner(const tegu_node *node, uint32_t operand,
                          uint32_t axis, bool *summed)
{
    int at =
        partner_in(node, keys[operand].summed, keys[1 - operand].summed, axis);

    *summed = at >= 0;
    return *summed ? at
                   : partner_in(node, keys[operand].batch,
                                keys[1 - operand].batch, axis);
}

void tegu_contract_source(const tegu_graph *g, const tegu_node *node,
                          uint32_t place, int axes[2])
{
    const tegu_attr *batch = tegu_node_attr(node, "batch_a");
    uint32_t at = batch->as.ints.count;

    axes[0] = axes[1] = -1;
    if (place < at) {
        axes[0] = (int)batch->as.ints.data[place];
        axes[1] = (int)tegu_node_attr(node, "batch_b")->as.ints.data[place];
    }
    for (uint32_t o = 0; o < 2; o++) {
        uint32_t rank = tegu_graph_type(g, node->inputs[o])->rank;
        for (uint32_t k = 0; k < rank; k++) {
            bool summed;
            if (tegu_contract_partner(node, o, k, &summed) < 0 && at++ == place)
                axes[o] = (int)k;
        }
    }
}
