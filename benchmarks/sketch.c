/* The algorithm of asm_core/kernels.py for ASM max pooling and one block size, without ties and
 * metrics.  What a C compiler makes of it, with loops of constant length (-DN=8), estimates how far
 * ours is from the limit.  T is a multiple of 8; C is the (N, N) basis; errors has (2 N - 1, T). */
#include <math.h>
#ifdef __AVX512F__
#define WIDTH 8
#else
#define WIDTH 4
#endif
typedef double lanes __attribute__((vector_size(8 * WIDTH)));
typedef long long flags __attribute__((vector_size(8 * WIDTH)));
#define H (N / 2)
#define SELECT(f, a, b) ((lanes)(((f) & (flags)(a)) | (~(f) & (flags)(b))))

static inline void transform(const lanes *x, lanes *f, const double *C) {
    for (int k = 0; k < N; k++) {
        lanes even[H], odd[H];
        for (int i = 0; i < H; i++) {
            even[i] = x[k * N + i] + x[k * N + N - 1 - i];
            odd[i] = x[k * N + i] - x[k * N + N - 1 - i];
        }
        for (int u = 0; u < N; u++) {
            lanes total = C[u * N] * (u % 2 ? odd : even)[0];
            for (int i = 1; i < H; i++) total += C[u * N + i] * (u % 2 ? odd : even)[i];
            f[u * N + k] = total;
        }
    }
}

static inline lanes choose(lanes a, lanes b, lanes c, lanes d, const lanes *lost) {
    flags first = b > a, second = d > c;
    lanes top = SELECT(first, b, a), low = SELECT(second, d, c);
    lanes upper = SELECT(first, lost[1], lost[0]), lower = SELECT(second, lost[3], lost[2]);
    lanes loss = SELECT(low > top, lower, upper);
    return loss * loss;
}

void measure(long T, const double *blocks, const double *C, double *errors) {
    for (long t = 0; t < T; t += WIDTH) {
        lanes x[N * N], half[N * N], f[N * N], lost[N * N];
        lanes p[H * H] = {0}, m[H * H] = {0}, q[H * H] = {0}, r[H * H] = {0};
        for (int s = 0; s < N * N; s++)
            for (int k = 0; k < WIDTH; k++) x[s][k] = blocks[(t + k) * N * N + s];
        transform(x, half, C);
        transform(half, f, C);
        for (int i = 0; i < H; i++)
            for (int j = 0; j < H; j++) {
                int w = i * H + j, s = 2 * i * N + 2 * j, at[4] = {s, s + 1, s + N, s + N + 1};
                lanes top = x[s];
                for (int k = 1; k < 4; k++) top = SELECT(x[at[k]] > top, x[at[k]], top);
                for (int k = 0; k < 4; k++) lost[4 * w + k] = top - x[at[k]];
            }
        for (int n = 0; n < 2 * N - 2; n++) {
            lanes *sum = n % 2 ? q : p, *difference = n % 2 ? r : m, squares = {0};
            int low = n < N ? 0 : n - N + 1, high = n < N ? n : N - 1;
            for (int i = 0; i < H; i += 2)
                for (int j = 0; j < H; j += 2) {
                    lanes part[2][4] = {0};
                    for (int u = low; u <= high; u++) {
                        lanes c = f[u * N + n - u];
                        for (int k = 0; k < 4; k++)
                            part[u % 2][k] += C[u * N + i + k / 2] * c * C[(n - u) * N + j + k % 2];
                    }
                    int at[4] = {i * H + j, i * H + j + 1, (i + 1) * H + j, (i + 1) * H + j + 1};
                    for (int k = 0; k < 4; k++) {
                        sum[at[k]] += part[0][k] + part[1][k];
                        difference[at[k]] += part[0][k] - part[1][k];
                    }
                    int v = i / 2, w = j / 2, y = H - 1 - v, z = H - 1 - w;
#define AT(a, o, b, k) (a[at[k]] o b[at[k]])
#define FOUR(a, o, b, i, j, k, l) AT(a, o, b, i), AT(a, o, b, j), AT(a, o, b, k), AT(a, o, b, l)
                    squares += choose(FOUR(p, +, q, 0, 1, 2, 3), lost + 4 * (v * H + w));
                    squares += choose(FOUR(p, -, q, 3, 2, 1, 0), lost + 4 * (y * H + z));
                    squares += choose(FOUR(m, -, r, 1, 0, 3, 2), lost + 4 * (v * H + z));
                    squares += choose(FOUR(m, +, r, 2, 3, 0, 1), lost + 4 * (y * H + w));
                }
            for (int k = 0; k < WIDTH; k++) errors[n * T + t + k] = sqrt(squares[k] / (H * H));
        }
        for (int k = 0; k < WIDTH; k++) errors[(2 * N - 2) * T + t + k] = 0;
    }
}
