/* SPDX-License-Identifier: Apache-2.0 */
/* peft_file.h - what peft.c, peft_open.c and peft_apply.c share. */
#ifndef TEGU_FRONTEND_PEFT_FILE_H
#define TEGU_FRONTEND_PEFT_FILE_H

#include "frontend/peft_config.h"

/* Makes sites of adapter->tensors and checks them; false after reporting. */
bool tegu_adapter_settle(tegu_adapter *a, const tegu_peft_config *config);

/* Reports "'tensor' text" at the adapter's file; `tensor` may be NULL. */
bool tegu_adapter_error(const tegu_adapter *a, tegu_diag_id id,
                        const char *tensor, const char *format, ...)
    TEGU_PRINTF(4, 5);
/* "[8, 256]" */
const char *tegu_adapter_shape(const tegu_adapter *a,
                               const tegu_stored_tensor *t);

#endif
