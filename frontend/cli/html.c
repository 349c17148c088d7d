/* SPDX-License-Identifier: Apache-2.0 */
/* html.c - compare's page: one file, no scripts, inline SVG.
 *
 * Takes the variants' figures; produces a legend, the table, one bar chart per
 * figure worth a look, and a scatter of quality against latency.
 */
#include "frontend/cli/compare.h"

#include <math.h>
#include <string.h>

static const char *const colours[] = {"#4269d0", "#efb118", "#ff725c",
                                      "#6cc5b0", "#3ca951", "#ff8ab7",
                                      "#a463f2", "#97bbf5"};
enum { COLOURS = sizeof colours / sizeof *colours };

static void escape_html(tegu_text *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '<': tegu_text_printf(out, "&lt;"); break;
        case '>': tegu_text_printf(out, "&gt;"); break;
        case '&': tegu_text_printf(out, "&amp;"); break;
        case '"': tegu_text_printf(out, "&quot;"); break;
        default: tegu_text_add(out, text, 1);
        }
    }
}

static const char *label_of(const tegu_variant *v)
{
    return v->pipeline[0] ? v->pipeline : "(unchanged)";
}

static void print_head(tegu_text *out, const char *model)
{
    tegu_text_printf(out, "<!DOCTYPE html>\n<html lang=\"en\"><head>"
                          "<meta charset=\"utf-8\"><title>tegu compare: ");
    escape_html(out, model);
    tegu_text_printf(
        out, "</title>\n<style>\n"
             "body{font:15px/1.45 system-ui,sans-serif;max-width:1000px;"
             "margin:2em auto;padding:0 1em;color:#222}\n"
             "table{border-collapse:collapse;width:100%%}\n"
             "td,th{padding:.3em .8em;border-bottom:1px solid #ddd;"
             "text-align:right;font-variant-numeric:tabular-nums}\n"
             "td:first-child,th:first-child{text-align:left}\n"
             ".key{display:inline-block;width:.9em;height:.9em;"
             "border-radius:2px;margin-right:.4em}\n"
             ".charts{display:flex;flex-wrap:wrap;gap:1.5em}\n"
             "code{background:#f4f4f4;padding:.1em .3em}\n"
             "svg text{font:12px system-ui,sans-serif;fill:#222}\n"
             "</style></head><body>\n<h1>");
    escape_html(out, model);
    tegu_text_printf(out, "</h1>\n");
}

static void print_legend(tegu_text *out, const tegu_variant *variants,
                         uint32_t count)
{
    tegu_text_printf(out, "<p>");
    for (uint32_t i = 0; i < count; i++) {
        tegu_text_printf(out,
                         "<span class=\"key\" style=\"background:%s\">"
                         "</span><b>%c</b> <code>",
                         colours[i % COLOURS], 'A' + (int)(i % 26));
        escape_html(out, label_of(&variants[i]));
        tegu_text_printf(out, "</code><br>\n");
    }
    tegu_text_printf(out, "</p>\n");
}

static void print_table(tegu_text *out, const tegu_variant *variants,
                        uint32_t count)
{
    tegu_text_printf(out, "<table><tr><th></th>");
    for (uint32_t i = 0; i < count; i++)
        tegu_text_printf(out, "<th>%c</th>", 'A' + (int)(i % 26));
    tegu_text_printf(out, "</tr>\n");
    for (uint32_t r = 0; r < tegu_compare_row_count; r++) {
        const tegu_compare_row *row = &tegu_compare_rows[r];
        tegu_text_printf(out, "<tr><td>%s</td>", row->label);
        for (uint32_t i = 0; i < count; i++)
            tegu_text_printf(
                out, "<td>%s</td>",
                tegu_compare_text(out->arena, row, row->value(&variants[i])));
        tegu_text_printf(out, "</tr>\n");
    }
    tegu_text_printf(out, "</table>\n");
}

static double largest(const tegu_compare_row *row, const tegu_variant *variants,
                      uint32_t count)
{
    double most = 0;
    for (uint32_t i = 0; i < count; i++) {
        double x = row->value(&variants[i]);
        most = x > most ? x : most; /* NaN never is */
    }
    return most;
}

static void print_bars(tegu_text *out, const tegu_compare_row *row,
                       const tegu_variant *variants, uint32_t count)
{
    double most = largest(row, variants, count);
    if (most <= 0)
        return;
    uint32_t height = 30 + 24 * count;
    tegu_text_printf(out,
                     "<svg width=\"300\" height=\"%u\" role=\"img\" "
                     "aria-label=\"%s\"><text x=\"0\" y=\"16\" "
                     "font-weight=\"bold\">%s</text>\n",
                     height, row->label, row->label);
    for (uint32_t i = 0; i < count; i++) {
        double x = row->value(&variants[i]);
        double width = isnan(x) ? 0 : 190 * x / most;
        tegu_text_printf(
            out,
            "<text x=\"0\" y=\"%u\">%c</text><rect x=\"16\" y=\"%u\" "
            "width=\"%.1f\" height=\"16\" fill=\"%s\"/><text x=\"%.1f\" "
            "y=\"%u\">%s</text>\n",
            42 + 24 * i, 'A' + (int)(i % 26), 29 + 24 * i, width,
            colours[i % COLOURS], 22 + width, 42 + 24 * i,
            tegu_compare_text(out->arena, row, x));
    }
    tegu_text_printf(out, "</svg>\n");
}

typedef struct range {
    double lo, hi;
} range;

/* The values' range with a margin of a tenth, and never so narrow that
 * rounding errors look like differences. */
static range range_of(const double *x, uint32_t count)
{
    range r = {x[0], x[0]};
    for (uint32_t i = 1; i < count; i++) {
        r.lo = x[i] < r.lo ? x[i] : r.lo;
        r.hi = x[i] > r.hi ? x[i] : r.hi;
    }
    double margin = fmax(0.1 * (r.hi - r.lo), 0.01 * fabs(r.hi));
    return (range){r.lo - margin, r.hi + margin};
}

static double place(range r, double x, double from, double to)
{
    return from + (to - from) * (x - r.lo) / (r.hi - r.lo);
}

static void print_scatter(tegu_text *out, const tegu_variant *variants,
                          uint32_t count)
{
    double *x = TEGU_ARRAY(out->arena, double, count);
    double *y = TEGU_ARRAY(out->arena, double, count);
    for (uint32_t i = 0; i < count; i++) {
        if (!variants[i].has_quality)
            return;
        x[i] = variants[i].decode_time.median * 1e6;
        y[i] = variants[i].quality.perplexity;
    }
    range rx = range_of(x, count), ry = range_of(y, count);
    tegu_text_printf(
        out,
        "<h2>Quality against latency</h2>\n<svg width=\"640\" "
        "height=\"360\" role=\"img\" aria-label=\"perplexity against decode "
        "latency\">\n<path d=\"M60 20V310H620\" fill=\"none\" "
        "stroke=\"#888\"/><text x=\"340\" y=\"350\" "
        "text-anchor=\"middle\">decode, microseconds per token</text>"
        "<text x=\"16\" y=\"165\" text-anchor=\"middle\" "
        "transform=\"rotate(-90 16 165)\">perplexity</text>\n");
    for (int t = 0; t <= 4; t++) {
        double fx = rx.lo + (rx.hi - rx.lo) * t / 4;
        double fy = ry.lo + (ry.hi - ry.lo) * t / 4;
        tegu_text_printf(out,
                         "<text x=\"%.0f\" y=\"328\" text-anchor=\"middle\">"
                         "%.4g</text><text x=\"54\" y=\"%.0f\" "
                         "text-anchor=\"end\">%.4g</text>\n",
                         place(rx, fx, 60, 620), fx, place(ry, fy, 310, 20) + 4,
                         fy);
    }
    for (uint32_t i = 0; i < count; i++) {
        double cx = place(rx, x[i], 60, 620), cy = place(ry, y[i], 310, 20);
        tegu_text_printf(out,
                         "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"6\" "
                         "fill=\"%s\"/><text x=\"%.1f\" y=\"%.1f\">%c"
                         "</text>\n",
                         cx, cy, colours[i % COLOURS], cx + 9, cy + 4,
                         'A' + (int)(i % 26));
    }
    tegu_text_printf(out, "</svg>\n");
}

/* --- sites: one small chart per pass and figure, one bar per site --- */

/* Rows from `first` on that the same pass reported with the same figures. */
static uint32_t same_rows(const tegu_site_rows *sites, uint32_t first)
{
    const tegu_site_row *a = &sites->data[first];
    uint32_t end = first + 1;
    for (; end < sites->count; end++) {
        const tegu_site_row *b = &sites->data[end];
        if (strcmp(a->pass, b->pass) != 0 || a->count != b->count)
            break;
    }
    return end;
}

static void print_site_chart(tegu_text *out, const tegu_site_rows *sites,
                             uint32_t first, uint32_t end, uint32_t figure,
                             uint32_t variant)
{
    const tegu_site_row *row = &sites->data[first];
    double most = -INFINITY, least = INFINITY, width = 280.0 / (end - first);
    for (uint32_t i = first; i < end; i++) {
        double value = sites->data[i].figures[figure].value;
        most = fmax(most, value);
        least = fmin(least, value);
    }
    if (!(most > least) || isinf(most)) /* nothing to see */
        return;
    range r = {fmin(least, 0), fmax(most, 0)};
    double zero = place(r, 0, 115, 25);
    tegu_text_printf(out,
                     "<svg width=\"300\" height=\"120\" role=\"img\"><text "
                     "x=\"0\" y=\"14\"><tspan font-weight=\"bold\">%c: ",
                     'A' + (int)(variant % 26));
    escape_html(out, row->pass);
    tegu_text_printf(out, "</tspan> %s, %.4g to %.4g</text>\n",
                     row->figures[figure].name, least, most);
    for (uint32_t i = first; i < end; i++) {
        double value = sites->data[i].figures[figure].value;
        double top = place(r, fmax(value, 0), 115, 25);
        tegu_text_printf(out,
                         "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                         "height=\"%.1f\" fill=\"%s\"><title>",
                         (i - first) * width, top, fmax(width - 2, 1),
                         value < 0 ? place(r, value, 115, 25) - zero
                                   : zero - top,
                         colours[variant % COLOURS]);
        escape_html(out, sites->data[i].site);
        tegu_text_printf(out, " %.5g</title></rect>\n", value);
    }
    tegu_text_printf(out, "</svg>\n");
}

static void print_sites(tegu_text *out, const tegu_variant *variants,
                        uint32_t count)
{
    bool any = false;
    for (uint32_t i = 0; i < count; i++) {
        const tegu_site_rows *sites = &variants[i].session->report.sites;
        for (uint32_t first = 0, end; first < sites->count; first = end) {
            end = same_rows(sites, first);
            tegu_text_printf(out, "%s",
                             any ? ""
                                 : "<h2>Sites</h2>\n<div class=\"charts\">\n");
            any = true;
            for (uint32_t f = 0; f < sites->data[first].count; f++)
                print_site_chart(out, sites, first, end, f, i);
        }
    }
    tegu_text_printf(out, "%s", any ? "</div>\n" : "");
}

void tegu_compare_html(tegu_text *out, const char *model,
                       const tegu_variant *variants, uint32_t count)
{
    print_head(out, model);
    print_legend(out, variants, count);
    print_table(out, variants, count);
    tegu_text_printf(out, "<h2>Figures</h2>\n<div class=\"charts\">\n");
    for (uint32_t r = 0; r < tegu_compare_row_count; r++)
        if (tegu_compare_rows[r].chart)
            print_bars(out, &tegu_compare_rows[r], variants, count);
    tegu_text_printf(out, "</div>\n");
    print_scatter(out, variants, count);
    print_sites(out, variants, count);
    tegu_text_printf(out, "</body></html>\n");
}
