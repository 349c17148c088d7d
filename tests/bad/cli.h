/* SPDX-License-Identifier: Apache-2.0 */
/* cli.h - bad command lines: a row, what its builder puts into the folder, and
 * the verdict. */
#ifndef TEGU_TESTS_BAD_CLI_H
#define TEGU_TESTS_BAD_CLI_H

#include "tests/bad/scratch.h"

/* What lies in the folder besides old outputs (builders.c). */
typedef enum cli_builder {
    NONE,      /* nothing */
    TEGU,      /* m.tegu: the content */
    TIR,       /* m.tir: the content */
    MODEL,     /* m.tegu: a vector function; the content is a script */
    WEIGHTS,   /* m.tegu reads w.safetensors: "BYTES LENGTH|header" */
    BYTES,     /* the same; w.safetensors: the content as it is */
    CUT,       /* the same; a good file, cut after so many bytes */
    INDEX,     /* the same; weights from an index: the content */
    CONFIG,    /* hf: a small Llama whose config.json has these keys instead,
                  or, after '!', is this text */
    LM,        /* lm.tegu: a small language model; the content is a script */
    TOKENIZER, /* the same with tokenizer.json: the content */
    TOKENS     /* the same with t.safetensors: "BYTES LENGTH|header" */
} cli_builder;

typedef struct cli_row {
    const char *what;
    cli_builder builder;
    const char *content; /* "@{N*x}": N times x */
    const char *line;    /* words of the command line, see spawn.h */
    int code;
    const char *first; /* how the first line of standard error begins */
} cli_row;

void cli_build(const scratch *s, cli_builder builder, const char *content);

/* NULL when the program did what the row says, else what it did instead. */
const char *cli_judge(const scratch *s, const char *program,
                      const cli_row *row);

#endif
