/* Softmax attention inside windows in bfloat16, for x86-64 processors with AVX512-BF16.
 *
 * torch moves queries, keys and values into an order of their own, keeps all scores in memory, and moves the
 * result back. Here the scores of 16 queries never leave the first cache, and rows are read and written where
 * the linear layers before and behind want them.
 *
 * A vector holds the same thing of 16 queries, one a lane. So maximum and sum of a softmax are taken from lane
 * to lane without a shuffle, and a key or value is one number for all lanes. The processor multiplies and adds
 * pairs of bfloat16: pairs of channels for scores, pairs of keys for the mix of values.
 */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define FOR_AVX512_BF16 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
/* Inlined where `area` and `width` are constants, so that every array of vectors is registers. */
#define INLINE static inline __attribute__((always_inline)) FOR_AVX512_BF16

enum { LANES = 16, KEYS_AT_ONCE = 8, MAX_AREA = 64, MAX_WIDTH = 32, MAX_MIXED_AT_ONCE = 24 };

typedef uint16_t bfloat16;

typedef struct {
    const bfloat16 *qkv, *bias;
    bfloat16 *mixed;
    long n_windows, n_bias_windows, n_heads;
    int area, width;
    long next; /* window and head that no thread has taken yet */
} Task;

/* Rows of one window and head; `stride` is from row to row of queries, keys and values. */
typedef struct {
    const bfloat16 *query, *key, *value, *bias;
    bfloat16 *mixed;
    long stride, mixed_stride;
} Head;

/* Make lane i of row j of what was lane j of row i. */
INLINE void transpose(__m512i rows[LANES]) {
    __m512i other[LANES];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        other[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        other[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        rows[4 * i] = _mm512_unpacklo_epi64(other[4 * i], other[4 * i + 2]);
        rows[4 * i + 1] = _mm512_unpackhi_epi64(other[4 * i], other[4 * i + 2]);
        rows[4 * i + 2] = _mm512_unpacklo_epi64(other[4 * i + 1], other[4 * i + 3]);
        rows[4 * i + 3] = _mm512_unpackhi_epi64(other[4 * i + 1], other[4 * i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        other[i] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0x88);
        other[i + 4] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0xdd);
        other[i + 8] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0x88);
        other[i + 12] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0xdd);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        rows[i] = _mm512_shuffle_i32x4(other[i], other[i + 8], 0x88);
        rows[i + 8] = _mm512_shuffle_i32x4(other[i], other[i + 8], 0xdd);
    }
}

/* Return exp(x) for x <= 0: 2^n times a polynomial for the rest, 2^-0.5 to 2^0.5 (Taylor, error below 3e-6). */
INLINE __m512 exponential(__m512 x) {
    const __m512 power = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
    const __m512 whole = _mm512_roundscale_ps(power, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 rest = _mm512_sub_ps(power, whole);
    __m512 sum = _mm512_set1_ps(1.33335581e-3f);
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(9.61812911e-3f));
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(5.55041087e-2f));
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(2.40226507e-1f));
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(6.93147181e-1f));
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(sum, whole);
}

/* Return two rounded bfloat16 a lane. */
INLINE __m512i pair(__m512 first, __m512 second) {
    const __m512i half = _mm512_set1_epi32(0x8000);
    const __m512i low = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(first), half), 16);
    const __m512i high = _mm512_add_epi32(_mm512_castps_si512(second), half);
    return _mm512_mask_mov_epi16(low, 0xaaaaaaaau, high);
}

/* Add the products of a lane's pair with the pair at `numbers`. */
INLINE __m512 add_product(__m512 sum, __m512i pairs, const void *numbers) {
    int32_t both;
    memcpy(&both, numbers, sizeof both);
    return _mm512_dpbf16_ps(sum, (__m512bh)pairs, (__m512bh)_mm512_set1_epi32(both));
}

/* Put the values of two keys side by side, (area / 2, width). */
INLINE void pair_values(const Head *head, const int area, const int width, uint32_t pairs[][MAX_WIDTH]) {
    for (int i = 0; i < area / 2; i++)
        for (int from = 0; from < width; from += LANES) {
            const __mmask16 some = width - from < LANES ? (__mmask16)((1u << (width - from)) - 1) : 0xffff;
            const bfloat16 *first = head->value + 2 * i * head->stride + from;
            const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(some, first));
            const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(some, first + head->stride));
            _mm512_store_si512(&pairs[i][from], _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
        }
}

/* Score all keys for 16 queries; return the highest scores. */
INLINE __m512 score(const Head *head, int from, const int area, const int width, __m512 *scores) {
    const __m512 scale = _mm512_set1_ps(1.0f / __builtin_sqrtf((float)width));
    const __mmask16 channels = (__mmask16)((1u << (width / 2)) - 1);
    __m512i queries[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
        queries[i] = _mm512_maskz_loadu_epi32(channels, head->query + (from + i) * head->stride);
    transpose(queries);
    __m512 highest = _mm512_set1_ps(-__builtin_inff());
    for (int key = 0; key < area; key += KEYS_AT_ONCE) {
        __m512 sums[KEYS_AT_ONCE];
#pragma GCC unroll 8
        for (int i = 0; i < KEYS_AT_ONCE; i++) sums[i] = _mm512_setzero_ps();
#pragma GCC unroll 16
        for (int channel = 0; channel < width; channel += 2)
#pragma GCC unroll 8
            for (int i = 0; i < KEYS_AT_ONCE; i++)
                sums[i] = add_product(sums[i], queries[channel / 2], head->key + (key + i) * head->stride + channel);
#pragma GCC unroll 8
        for (int i = 0; i < KEYS_AT_ONCE; i++) {
            const __m256i stored = _mm256_loadu_si256((const __m256i *)(head->bias + (key + i) * area + from));
            const __m512 bias = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(stored), 16));
            scores[key + i] = _mm512_fmadd_ps(sums[i], scale, bias);
            highest = _mm512_max_ps(highest, scores[key + i]);
        }
    }
    return highest;
}

/* Mix values for 16 queries by weights that come in pairs of keys, and write them as rows. */
INLINE void mix(const Head *head, int from, const int area, const int width, const __m512i *weights,
                __m512 share, uint32_t values[][MAX_WIDTH]) {
    const int at_once = width > MAX_MIXED_AT_ONCE ? width / 2 : width; /* there are 32 registers */
    __m512i rows[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) rows[i] = _mm512_setzero_si512();
#pragma GCC unroll 2
    for (int channel = 0; channel < width; channel += at_once) {
        __m512 sums[MAX_MIXED_AT_ONCE];
#pragma GCC unroll 24
        for (int i = 0; i < at_once; i++) sums[i] = _mm512_setzero_ps();
        for (int key = 0; key < area / 2; key++)
#pragma GCC unroll 24
            for (int i = 0; i < at_once; i++)
                sums[i] = add_product(sums[i], weights[key], &values[key][channel + i]);
#pragma GCC unroll 12
        for (int i = 0; i < at_once; i += 2)
            rows[(channel + i) / 2] = pair(_mm512_mul_ps(sums[i], share), _mm512_mul_ps(sums[i + 1], share));
    }
    transpose(rows);
    const __mmask16 channels = (__mmask16)((1u << (width / 2)) - 1);
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
        _mm512_mask_storeu_epi32(head->mixed + (from + i) * head->mixed_stride, channels, rows[i]);
}

INLINE void attend_head(const Head *head, const int area, const int width) {
    uint32_t values[MAX_AREA / 2][MAX_WIDTH] __attribute__((aligned(64)));
    pair_values(head, area, width, values);
    for (int from = 0; from < area; from += LANES) {
        __m512 scores[MAX_AREA], sum = _mm512_setzero_ps();
        __m512i weights[MAX_AREA / 2];
        const __m512 highest = score(head, from, area, width, scores);
#pragma GCC unroll 4
        for (int i = 0; i < area / 2; i++) {
            const __m512 first = exponential(_mm512_sub_ps(scores[2 * i], highest));
            const __m512 second = exponential(_mm512_sub_ps(scores[2 * i + 1], highest));
            sum = _mm512_add_ps(sum, _mm512_add_ps(first, second));
            weights[i] = pair(first, second);
        }
        mix(head, from, area, width, weights, _mm512_div_ps(_mm512_set1_ps(1.0f), sum), values);
    }
}

INLINE void attend_heads(Task *task, const int area, const int width) {
    const long dim = task->n_heads * width, n_pieces = task->n_windows * task->n_heads;
    for (;;) {
        const long piece = __atomic_fetch_add(&task->next, 1, __ATOMIC_RELAXED);
        if (piece >= n_pieces) return;
        const long window = piece / task->n_heads, number = piece % task->n_heads;
        const bfloat16 *rows = task->qkv + window * area * 3 * dim + number * width;
        const long bias = window % task->n_bias_windows * task->n_heads + number;
        const Head head = {rows, rows + dim, rows + 2 * dim, task->bias + bias * area * area,
                           task->mixed + window * area * dim + number * width, 3 * dim, dim};
        attend_head(&head, area, width);
    }
}

FOR_AVX512_BF16 static void work(void *data) {
    Task *task = data;
    if (task->area == 64 && task->width == 24) attend_heads(task, 64, 24);
    if (task->area == 64 && task->width == 32) attend_heads(task, 64, 32);
    if (task->area == 64 && task->width == 16) attend_heads(task, 64, 16);
    if (task->area == 16 && task->width == 16) attend_heads(task, 16, 16);
}

/* Tell whether there is a kernel for windows of `area` tokens and heads of `width` channels, and its processor. */
int loopsphere_can_attend(int area, int width) {
    const int is_known = (area == 64 && (width == 16 || width == 24 || width == 32)) || (area == 16 && width == 16);
    return is_known && __builtin_cpu_supports("avx512bf16");
}

/* Attend inside windows.
 *
 * qkv    (n_windows, area, 3, n_heads, width): queries, keys and values
 * bias   (n_bias_windows, n_heads, area, area) of key and query, added to the scores; window i has number
 *        i % n_bias_windows
 * mixed  (n_windows, area, n_heads, width): the result
 *
 * `parallel` is GOMP_parallel of the OpenMP that torch runs on, or null for one thread: threads of another
 * pool would wait for cores on which torch's threads still look for work.
 */
void loopsphere_attend(const bfloat16 *qkv, const bfloat16 *bias, bfloat16 *mixed, long n_windows,
                       long n_bias_windows, long n_heads, int area, int width, unsigned n_threads,
                       void (*parallel)(void (*)(void *), void *, unsigned, unsigned)) {
    Task task = {qkv, bias, mixed, n_windows, n_bias_windows, n_heads, area, width, 0};
    if (parallel && n_threads > 1)
        parallel(work, &task, n_threads, 0);
    else
        work(&task);
}
