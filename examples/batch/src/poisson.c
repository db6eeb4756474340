/* Solves -u'' = sin(pi x) on [0, 1] with u = 0 at both ends, by finite differences: an example, in place of which your
   program goes. Usage: poisson FILE, a file with the number of intervals. It writes solution.txt: x and u, a line each. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1000000 };
static const double PI = 3.14159265358979323846;

int main(int count, char **words)
{
    if (count == 2 && strcmp(words[1], "--version") == 0)
        return puts("poisson 1.0") < 0;
    char text[32] = "";
    FILE *input = count == 2 ? fopen(words[1], "r") : NULL;
    long n = input && fgets(text, sizeof text, input) ? (long)atof(text) : 0;
    if (n < 2 || n > MOST) {
        fputs("poisson: expected a file with a number of intervals from 2 to 1000000\n", stderr);
        return 2;
    }
    fclose(input);
    double h = 1.0 / (double)n, *upper = calloc((size_t)n, sizeof *upper), *u = calloc((size_t)n + 1, sizeof *u);
    if (!upper || !u)
        return 3;
    for (long i = 1; i < n; i++) { /* Thomas' algorithm: forward … */
        double pivot = 2.0 + upper[i - 1];
        upper[i] = -1.0 / pivot;
        u[i] = (h * h * sin(PI * h * (double)i) + u[i - 1]) / pivot;
    }
    for (long i = n - 1; i > 0; i--) /* … and back */
        u[i] -= upper[i] * u[i + 1];
    FILE *output = fopen("solution.txt", "w");
    if (!output)
        return perror("solution.txt"), 3;
    for (long i = 0; i <= n; i++)
        fprintf(output, "%.6f %.15e\n", h * (double)i, u[i]);
    if (fclose(output) != 0)
        return perror("solution.txt"), 3;
    printf("%ld intervals\n", n);
    free(upper);
    free(u);
    return 0;
}
