/* SPDX-License-Identifier: Apache-2.0 */
/* peft.c - adapter files to sites: which module, which matrices, which scale.
 *
 * Takes    a PEFT folder, a bare safetensors file or a GGUF adapter.
 * Produces an adapter whose every tensor has a role in one site, with ranks
 *          and scales settled as the file says; what it leaves open is
 *          guessed with a warning that names the option.
 * How      a tensor's key is a module's name and an ending (the table below);
 *          tensors of one module make one site.  SingLoRA is a pair whose
 *          second half is missing and whose first half has r columns
 *          (arXiv 2507.05566; layouts of three ports in docs/passes.md).
 * Leaves   the model to peft_apply.c.
 */
#include "frontend/peft_file.h"

#include <math.h>
#include <string.h>

/* Endings of keys, longer ones before their own endings. */
static const struct {
    const char *ending;
    tegu_adapter_part part;
} endings[] = {
    {".lora_A.default.weight", TEGU_PART_A},
    {".lora_B.default.weight", TEGU_PART_B},
    {".singlora_A.weight", TEGU_PART_SINGLE},
    {".lora_A.weight", TEGU_PART_A},
    {".lora_B.weight", TEGU_PART_B},
    {".lora_A.default", TEGU_PART_A},
    {".lora_A", TEGU_PART_A},
    {".lora_B", TEGU_PART_B},
    {".lora_embedding_A.default", TEGU_PART_EMBEDDING_A},
    {".lora_embedding_B.default", TEGU_PART_EMBEDDING_B},
    {".lora_embedding_A", TEGU_PART_EMBEDDING_A},
    {".lora_embedding_B", TEGU_PART_EMBEDDING_B},
    {".lora_magnitude_vector.default.weight", TEGU_PART_MAGNITUDE},
    {".lora_magnitude_vector.weight", TEGU_PART_MAGNITUDE},
    {".lora_magnitude_vector", TEGU_PART_MAGNITUDE},
    {".training_step_default", TEGU_PART_STEP},
    {".training_step", TEGU_PART_STEP},
    {".original_layer.weight", TEGU_PART_BASE},
    {".base_layer.weight", TEGU_PART_BASE},
    {".modules_to_save.default.weight", TEGU_PART_WEIGHT},
    {".modules_to_save.default.bias", TEGU_PART_BIAS},
    {".A", TEGU_PART_SINGLE},
    {".weight", TEGU_PART_WEIGHT},
    {".bias", TEGU_PART_BIAS},
};

bool tegu_adapter_error(const tegu_adapter *a, tegu_diag_id id,
                        const char *tensor, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = tegu_format_v(a->arena, format, args);
    va_end(args);
    tegu_loc loc = tegu_loc_file(a->path);
    if (!tensor)
        return tegu_error(a->diag, loc, id, "%s", text);
    return tegu_error(a->diag, loc, id, "'%s' %s",
                      tegu_escaped(a->arena, tensor, strlen(tensor)), text);
}

const char *tegu_adapter_shape(const tegu_adapter *a,
                               const tegu_stored_tensor *t)
{
    tegu_text text = {.arena = a->arena};
    tegu_text_printf(&text, "[");
    for (uint32_t i = 0; i < t->rank; i++)
        tegu_text_printf(&text, "%s%lld", i ? ", " : "", (long long)t->dims[i]);
    tegu_text_printf(&text, "]");
    return tegu_text_cstr(&text);
}

/* --- tensors to sites --- */

/* The module of a key and what the tensor is to it; NULL: not known. */
static const char *split_key(const tegu_adapter *a, const char *key,
                             tegu_adapter_part *part)
{
    static const char prefix[] = "base_model.model.";
    size_t length = strlen(key);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(endings[i].ending);
        if (n >= length || strcmp(key + length - n, endings[i].ending) != 0)
            continue;
        *part = endings[i].part;
        size_t skip = strncmp(key, prefix, sizeof prefix - 1) == 0 &&
                              length - n > sizeof prefix - 1
                          ? sizeof prefix - 1
                          : 0;
        return tegu_format(a->arena, "%.*s", (int)(length - n - skip),
                           key + skip);
    }
    return NULL;
}

static bool is_float(const tegu_stored_tensor *t)
{
    return t->dtype == TEGU_F32 || t->dtype == TEGU_F16 ||
           t->dtype == TEGU_BF16 || t->dtype == TEGU_F64;
}

static bool take_tensor(tegu_adapter *a, tegu_map *index,
                        const tegu_stored_tensor *t)
{
    tegu_adapter_part part = TEGU_PART_COUNT;
    const char *module = split_key(a, t->name, &part);
    if (!module)
        return tegu_adapter_error(
            a, TEGU_E_ADAPTER, t->name,
            "is no tensor of an adapter: nothing would use it");
    if (!is_float(t) && part != TEGU_PART_STEP)
        return tegu_adapter_error(a, TEGU_E_ADAPTER, t->name,
                                  "holds %s; adapters hold F32, F16, BF16 or "
                                  "F64",
                                  t->dtype_text);
    uint64_t *known = tegu_map_find(index, module, strlen(module));
    if (!known) {
        tegu_adapter_site site = {.module = module};
        tegu_map_set(index, module, strlen(module), a->sites.count);
        tegu_vec_push(a->arena, &a->sites, site);
        known = tegu_map_find(index, module, strlen(module));
    }
    tegu_adapter_site *site = &a->sites.data[*known];
    if (site->parts[part])
        return tegu_adapter_error(
            a, TEGU_E_ADAPTER, t->name, "has the same role as '%s'",
            tegu_escaped(a->arena, site->parts[part]->name,
                         strlen(site->parts[part]->name)));
    site->parts[part] = t;
    return true;
}

static bool take_tensors(tegu_adapter *a)
{
    tegu_map *index = tegu_map_create(a->arena);
    bool ok = true;
    if (a->tensors.count == 0)
        return tegu_adapter_error(a, TEGU_E_ADAPTER, NULL,
                                  "the adapter is empty: it has no tensors");
    for (uint32_t i = 0; i < a->tensors.count; i++)
        ok = take_tensor(a, index, &a->tensors.data[i]) && ok;
    return ok;
}

/* --- kinds and partners --- */

/* What `site` is, by the tensors it has. */
static bool classify(tegu_adapter *a, tegu_adapter_site *site,
                     const tegu_peft_config *config)
{
    const tegu_stored_tensor **p = site->parts;
    if (p[TEGU_PART_A] && !p[TEGU_PART_B] && !p[TEGU_PART_SINGLE] &&
        p[TEGU_PART_A]->rank == 2 &&
        (config->singlora || config->rank == 0 ||
         p[TEGU_PART_A]->dims[1] == config->rank)) {
        p[TEGU_PART_SINGLE] = p[TEGU_PART_A];
        p[TEGU_PART_A] = NULL;
    }
    bool pair = p[TEGU_PART_A] && p[TEGU_PART_B];
    bool table = p[TEGU_PART_EMBEDDING_A] && p[TEGU_PART_EMBEDDING_B];
    bool single = p[TEGU_PART_SINGLE] != NULL;
    static const tegu_adapter_part halves[][2] = {
        {TEGU_PART_A, TEGU_PART_B},
        {TEGU_PART_B, TEGU_PART_A},
        {TEGU_PART_EMBEDDING_A, TEGU_PART_EMBEDDING_B},
        {TEGU_PART_EMBEDDING_B, TEGU_PART_EMBEDDING_A},
        {TEGU_PART_MAGNITUDE, TEGU_PART_A},
        {TEGU_PART_STEP, TEGU_PART_SINGLE},
        {TEGU_PART_BASE, TEGU_PART_SINGLE}};
    for (size_t i = 0; i < sizeof halves / sizeof *halves; i++)
        if (p[halves[i][0]] && !p[halves[i][1]])
            return tegu_adapter_error(
                a, TEGU_E_ADAPTER, p[halves[i][0]]->name,
                halves[i][0] == TEGU_PART_A
                    ? "has no lora_B beside it, and its shape %s is not "
                      "SingLoRA's [max(out, in), r]"
                    : "has no partner: its shape is %s",
                tegu_adapter_shape(a, p[halves[i][0]]));
    if (pair + table + single > 1)
        return tegu_adapter_error(a, TEGU_E_ADAPTER, site->module,
                                  "is adapted in two ways at once");
    site->kind = single                   ? TEGU_ADAPTER_SINGLORA
                 : table                  ? TEGU_ADAPTER_EMBEDDING
                 : !pair                  ? TEGU_ADAPTER_NONE
                 : p[TEGU_PART_MAGNITUDE] ? TEGU_ADAPTER_DORA
                                          : TEGU_ADAPTER_LORA;
    if (config->dora && site->kind == TEGU_ADAPTER_LORA)
        return tegu_adapter_error(a, TEGU_E_ADAPTER, p[TEGU_PART_A]->name,
                                  "has no lora_magnitude_vector beside it, "
                                  "but the config says use_dora");
    if (config->json.json.root && !config->dora &&
        site->kind == TEGU_ADAPTER_DORA)
        return tegu_adapter_error(a, TEGU_E_ADAPTER,
                                  p[TEGU_PART_MAGNITUDE]->name,
                                  "is DoRA's, but the config does not say "
                                  "use_dora");
    return true;
}

/* --- ranks --- */

/* The axis along which a part counts ranks; -1: it does not. */
static int rank_axis(const tegu_adapter *a, tegu_adapter_part part)
{
    switch ((int)part) {
    case TEGU_PART_A: return 0;
    case TEGU_PART_EMBEDDING_A: return a->gguf;
    case TEGU_PART_B:
    case TEGU_PART_EMBEDDING_B:
    case TEGU_PART_SINGLE: return 1;
    default: return -1;
    }
}

static bool check_rank(tegu_adapter *a, tegu_adapter_site *site, int64_t rank)
{
    site->rank = rank;
    for (int part = 0; part < TEGU_PART_COUNT; part++) {
        const tegu_stored_tensor *t = site->parts[part];
        int axis = rank_axis(a, (tegu_adapter_part)part);
        if (!t || axis < 0)
            continue;
        if (t->rank != 2 || t->dims[0] < 1 || t->dims[1] < 1)
            return tegu_adapter_error(a, TEGU_E_ADAPTER, t->name,
                                      "has shape %s; it must be a matrix",
                                      tegu_adapter_shape(a, t));
        if (site->rank == 0)
            site->rank = t->dims[axis];
        if (t->dims[axis] != site->rank)
            return tegu_adapter_error(a, TEGU_E_ADAPTER, t->name,
                                      "has shape %s, but the rank is %lld",
                                      tegu_adapter_shape(a, t),
                                      (long long)site->rank);
    }
    return true;
}

/* --- scales --- */

/* Guesses are told once for a file. */
typedef struct guesses {
    bool alpha, scale, ramp, steps;
} guesses;

static void warn(tegu_adapter *a, bool *told, const char *what,
                 const char *option)
{
    if (!*told)
        tegu_warning(a->diag, tegu_loc_file(a->path), "%s; %s says it", what,
                     option);
    *told = true;
}

/* sqrt(r) or r below alpha. */
static bool takes_root(tegu_adapter *a, const tegu_adapter_site *site,
                       const tegu_peft_config *c, guesses *g)
{
    bool root = c->rslora;
    if (site->kind != TEGU_ADAPTER_SINGLORA)
        return root;
    if (c->options->scale != TEGU_SCALE_FROM_FILE)
        return c->options->scale == TEGU_SCALE_SQRT;
    /* Ports that write `A` or singlora_A divide by r; the one that saves a
     * bare lora_A without a config divides by sqrt(r). */
    const char *name = site->parts[TEGU_PART_SINGLE]->name;
    const char *dot = strrchr(name, '.');
    bool named = dot && strcmp(dot, ".lora_A") == 0;
    if (c->scale_known || !named)
        return root;
    root = !c->json.json.root;
    warn(a, &g->scale,
         root ? "the scale of SingLoRA is not stated; taken as "
                "alpha / sqrt(r)"
              : "the scale of SingLoRA is not stated; taken as alpha / r",
         "--singlora-scale=r or sqrt");
    return root;
}

/* The step that the file stores; false after reporting. */
static bool read_step(tegu_adapter *a, const tegu_stored_tensor *t,
                      double *step)
{
    int64_t whole = 0;
    float single = 0;
    *step = -1;
    if (t->bytes == 8 && t->dtype == TEGU_I64) {
        memcpy(&whole, t->data, 8);
        *step = (double)whole;
    } else if (t->bytes == 4 && t->dtype == TEGU_F32) {
        memcpy(&single, t->data, 4);
        *step = (double)single;
    } else if (t->bytes == 8 && t->dtype == TEGU_F64) {
        memcpy(step, t->data, 8);
    }
    return (*step >= 0 && isfinite(*step)) ||
           tegu_adapter_error(a, TEGU_E_ADAPTER, t->name,
                              "is %s%s; the step of the ramp is one number "
                              "of 0 or more, I64 or F32",
                              t->dtype_text, tegu_adapter_shape(a, t));
}

/* u = min(step / T, 1); 1 where the file does not say. */
static bool ramp_of(tegu_adapter *a, const tegu_adapter_site *site,
                    const tegu_peft_config *c, guesses *g, double *u)
{
    const tegu_stored_tensor *t = site->parts[TEGU_PART_STEP];
    double step, steps = c->ramp_steps > 0 ? c->ramp_steps : 1000;
    *u = c->options->ramp >= 0 ? c->options->ramp : c->ramp;
    if (t && !read_step(a, t, &step))
        return false;
    if (*u >= 0)
        return true;
    *u = 1;
    if (!t) {
        warn(a, &g->ramp, "the ramp's step is not stored; taken as done, u = 1",
             "--singlora-ramp");
        return true;
    }
    if (c->ramp_steps <= 0)
        warn(a, &g->steps, "the ramp's length is not stated; taken as 1000",
             "--singlora-ramp");
    *u = step < steps ? step / steps : 1;
    return *u > 0 ||
           tegu_adapter_error(a, TEGU_E_ADAPTER, t->name,
                              "is 0: the adapter would change nothing; "
                              "--singlora-ramp=1 takes the ramp as done");
}

static bool settle_scale(tegu_adapter *a, tegu_adapter_site *site,
                         const tegu_peft_config *c, double alpha, guesses *g)
{
    double u = 1, r = (double)site->rank;
    if (site->kind == TEGU_ADAPTER_NONE)
        return true;
    if (alpha == 0)
        alpha = c->options->alpha;
    if (alpha == 0) {
        alpha = r;
        warn(a, &g->alpha, "the file does not state alpha; taken as the rank",
             "--adapter-alpha");
    }
    if (site->kind == TEGU_ADAPTER_SINGLORA && !ramp_of(a, site, c, g, &u))
        return false;
    site->scale = u * alpha / (takes_root(a, site, c, g) ? sqrt(r) : r);
    return fabs(site->scale) <= 1e6 ||
           tegu_adapter_error(a, TEGU_E_ADAPTER, site->module,
                              "would be scaled by %g; the most is 1e6",
                              site->scale);
}

/* --- targets --- */

static bool check_replacement(tegu_adapter *a, const tegu_adapter_site *site,
                              tegu_adapter_part part)
{
    const tegu_adapter_targets *t = &a->targets;
    const tegu_stored_tensor *tensor = site->parts[part];
    if (!tensor || !a->config_path ||
        tegu_peft_is_named(site->module, t->saved.data, t->saved.count))
        return true;
    for (uint32_t i = 0; i < t->saved.count; i++) {
        const char *inner = tegu_format(a->arena, ".%s.", t->saved.data[i]);
        const char *whole = tegu_format(a->arena, ".%s.", site->module);
        if (strstr(whole, inner)) /* below a saved module */
            return true;
    }
    if (part == TEGU_PART_BIAS && t->biases)
        return true;
    return tegu_adapter_error(
        a, TEGU_E_ADAPTER, tensor->name,
        part == TEGU_PART_BIAS
            ? "is a bias, but the config says bias none"
            : "is a whole weight, but modules_to_save does not name it");
}

static bool check_target(tegu_adapter *a, const tegu_adapter_site *site)
{
    bool ok = true;
    if (!check_replacement(a, site, TEGU_PART_WEIGHT) ||
        !check_replacement(a, site, TEGU_PART_BIAS))
        return false;
    if (site->kind == TEGU_ADAPTER_NONE)
        return true;
    if (tegu_peft_is_target(a, site->module, &ok))
        return true;
    return ok && tegu_adapter_error(
                     a, TEGU_E_ADAPTER, site->module,
                     "has tensors, but target_modules does not take it in");
}

/* Every name of the list must adapt something. */
static bool check_names(tegu_adapter *a)
{
    bool ok = true;
    for (uint32_t n = 0; n < a->targets.names.count; n++) {
        const char *const *name = &a->targets.names.data[n];
        bool used = false;
        for (uint32_t i = 0; i < a->sites.count; i++)
            used |= a->sites.data[i].kind != TEGU_ADAPTER_NONE &&
                    tegu_peft_is_named(a->sites.data[i].module, name, 1);
        if (!used)
            ok = tegu_error(a->diag, tegu_loc_file(a->config_path),
                            TEGU_E_ADAPTER,
                            "target module '%s' has no tensors in the "
                            "adapter",
                            tegu_escaped(a->arena, *name, strlen(*name)));
    }
    return ok;
}

bool tegu_adapter_settle(tegu_adapter *a, const tegu_peft_config *config)
{
    guesses told = {0};
    bool ok = take_tensors(a);
    for (uint32_t i = 0; i < a->sites.count && ok; i++) {
        tegu_adapter_site *site = &a->sites.data[i];
        int64_t rank;
        double alpha;
        ok = classify(a, site, config) &&
             tegu_peft_rank(a, config, site->module, &rank, &alpha) &&
             check_rank(a, site, rank) &&
             settle_scale(a, site, config, alpha, &told) &&
             check_target(a, site);
    }
    return ok && check_names(a);
}

/* --- printing --- */

/* "lora", "singlora", "dora", "lora (embedding)", "replaced". */
static const char *kind_text(tegu_adapter_kind kind)
{
    static const char *const texts[] = {"replaced", "lora", "lora (embedding)",
                                        "dora", "singlora"};
    return texts[kind];
}

void tegu_adapter_print(tegu_text *out, const tegu_adapter *adapter)
{
    for (uint32_t i = 0; i < adapter->sites.count; i++) {
        const tegu_adapter_site *s = &adapter->sites.data[i];
        tegu_text_printf(
            out, "%s: %s",
            tegu_escaped(adapter->arena, s->module, strlen(s->module)),
            kind_text(s->kind));
        if (s->kind != TEGU_ADAPTER_NONE)
            tegu_text_printf(out, ", rank %lld, scale %g", (long long)s->rank,
                             s->scale);
        tegu_text_printf(out, "\n");
    }
}
