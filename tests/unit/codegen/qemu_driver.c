/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls one kernel in a program of its own, for machines that are emulated.
 * Input: count and parts, then for each slot its size and its value and, if
 * the size is not 0, that many bytes.  Output: the bytes of all slots that
 * have some, after the calls.  All numbers are 64 bits, little endian.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void KERNEL(void *args, int64_t part, int64_t parts);

static void get(void *data, size_t size)
{
    if (size && fread(data, size, 1, stdin) != 1)
        exit(1);
}

int main(void)
{
    uint64_t head[2], size[16], args[16];
    get(head, sizeof head);
    if (head[0] > 16)
        return 1;
    for (uint64_t i = 0; i < head[0]; i++) {
        uint64_t each[2];
        get(each, sizeof each);
        size[i] = each[0];
        args[i] = each[1];
        if (size[i]) {
            void *data = aligned_alloc(64, (size[i] + 63) / 64 * 64);
            if (!data)
                return 1;
            get(data, size[i]);
            args[i] = (uint64_t)(uintptr_t)data;
        }
    }
    for (uint64_t part = 0; part < head[1]; part++)
        KERNEL(args, (int64_t)part, (int64_t)head[1]);
    for (uint64_t i = 0; i < head[0]; i++)
        if (size[i] &&
            fwrite((void *)(uintptr_t)args[i], size[i], 1, stdout) != 1)
            return 1;
    return 0;
}
