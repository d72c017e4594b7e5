/* sizes.c - byte counts and page kinds as text, both ways. Nothing here needs printf or the locale,
 * so that all of it is safe in signal handlers. */
#include <roma/common.h>

#include "base/bits.h"
#include "base/text.h"

#include <errno.h>
#include <string.h>

/* ---- to text -------------------------------------------------------------------------------- */

/* A fraction is cut, not rounded: 1 MiB less a byte is "1023.9 KiB", and never reads as more. */
static void put_size(roma__text *out, uint64_t size)
{
    static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
    unsigned unit = 0;
    while (unit + 1 < sizeof units / sizeof units[0] && size >> (10 * (unit + 1)) != 0)
        unit++;
    uint64_t whole = size >> (10 * unit);
    uint64_t rest = size - (whole << (10 * unit));
    roma__text_put_number(out, whole);
    if (rest != 0) {
        roma__text_put(out, ".");
        /* The top ten bits of the rest are enough for one digit, and ten times them fits. */
        roma__text_put_number(out, (rest >> (10 * (unit - 1))) * 10 / 1024);
    }
    roma__text_put(out, units[unit]);
}

char *roma_size_text(uint64_t size, char *text, size_t bytes)
{
    roma__text out = roma__text_in(text, bytes);
    put_size(&out, size);
    return text;
}

char *roma_page_kind_text(roma_page_kind kind, char *text, size_t bytes)
{
    roma__text out = roma__text_in(text, bytes);
    size_t page_bytes = roma_page_bytes(kind);
    if (roma_page_class(kind) != 0 && page_bytes != 0) {
        put_size(&out, page_bytes);
        roma__text_put(&out, " ");
    }
    switch (roma_page_class(kind)) {
    case ROMA_PAGE_CLASS_BASE: roma__text_put(&out, "base"); break;
    case ROMA_PAGE_CLASS_THP: roma__text_put(&out, "transparent huge"); break;
    case ROMA_PAGE_CLASS_HUGETLB: roma__text_put(&out, "hugetlb"); break;
    default: roma__text_put(&out, "no kind");
    }
    return text;
}

/* ---- from text ------------------------------------------------------------------------------ */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* The shift of a unit and how many characters it has; false when `text` starts with none. */
static bool parse_unit(const char *text, size_t length, unsigned *shift, size_t *used)
{
    static const char letters[] = "kmgt";
    if (length == 0)
        return false;
    const char *letter = memchr(letters, lower(text[0]), sizeof letters - 1);
    if (letter == NULL)
        return false;
    *shift = 10 * (unsigned)(letter - letters + 1);
    *used = 1;
    if (length >= 3 && lower(text[1]) == 'i' && lower(text[2]) == 'b')
        *used = 3;
    else if (length >= 2 && lower(text[1]) == 'b')
        *used = 2;
    return true;
}

static int parse_size(const char *text, size_t length, uint64_t *size)
{
    uint64_t value = 0;
    bool beyond = false;
    size_t at = 0;
    for (; at < length && text[at] >= '0' && text[at] <= '9'; at++)
        beyond = __builtin_mul_overflow(value, (uint64_t)10, &value) ||
                 __builtin_add_overflow(value, (uint64_t)(text[at] - '0'), &value) || beyond;
    if (at == 0)
        return -EINVAL;
    unsigned shift = 0;
    size_t unit_length;
    if (parse_unit(text + at, length - at, &shift, &unit_length))
        at += unit_length;
    if (at != length)
        return -EINVAL;
    if (beyond || (shift > 0 && value >> (64 - shift) != 0))
        return -ERANGE;
    *size = value << shift;
    return 0;
}

int roma_size_parse(const char *text, uint64_t *size)
{
    if (text == NULL || size == NULL)
        return -EINVAL;
    return parse_size(text, strlen(text), size);
}

static bool is_word(const char *text, size_t length, const char *word)
{
    return length == strlen(word) && memcmp(text, word, length) == 0;
}

/* A kind of this class and size; no kind when the size is not a power of two above 1. */
static roma_pages parse_sized(unsigned page_class, const char *text, size_t length)
{
    uint64_t size;
    if (parse_size(text, length, &size) != 0 || size < 2 || (size & (size - 1)) != 0)
        return 0;
    return ROMA_PAGES_OF(page_class, __builtin_ctzll(size));
}

static roma_pages parse_kind(const char *text, size_t length)
{
    static const struct {
        const char *word;
        unsigned page_class;
    } sized[] = {{"base:", ROMA_PAGE_CLASS_BASE}, {"thp:", ROMA_PAGE_CLASS_THP}};
    if (is_word(text, length, "base"))
        return ROMA_PAGES_BASE;
    if (is_word(text, length, "thp"))
        return ROMA_PAGES_THP;
    if (is_word(text, length, "hugetlb"))
        return ROMA_PAGES_HUGETLB;
    for (size_t i = 0; i < sizeof sized / sizeof sized[0]; i++) {
        size_t used = strlen(sized[i].word);
        if (length > used && memcmp(text, sized[i].word, used) == 0)
            return parse_sized(sized[i].page_class, text + used, length - used);
    }
    return parse_sized(ROMA_PAGE_CLASS_HUGETLB, text, length);
}

int roma_pages_parse(const char *text, roma_pages *pages)
{
    if (text == NULL || pages == NULL)
        return -EINVAL;
    roma_pages result = 0;
    unsigned words = 0;
    for (;;) {
        size_t length = strcspn(text, ",");
        roma_pages kind = parse_kind(text, length);
        if (kind == 0 || ++words > ROMA_PAGE_KINDS_MAX)
            return -EINVAL;
        result = roma_pages_then(result, kind);
        if (text[length] == '\0')
            break;
        text += length + 1;
    }
    *pages = result;
    return 0;
}
