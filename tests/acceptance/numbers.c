/* Writes u = sin(x), w = 1/7 of x, and its energies; wrong in the way that its argument says. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 24

/* How many runs there were before on this machine: a state that no task should have. */
static int runs(void)
{
    int count = 0;
    FILE *file = fopen("/tmp/numbers-of-runs", "r+");
    if (!file)
        file = fopen("/tmp/numbers-of-runs", "w+");
    else if (fscanf(file, "%d", &count) != 1)
        exit(3);
    rewind(file);
    fprintf(file, "%d\n", count + 1);
    fclose(file);
    return count;
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "good";
    double *work = malloc(4096 * sizeof *work);
    volatile double *unset = malloc(4096 * sizeof *unset);
    FILE *table = fopen("table.csv", "w"), *sums = fopen("sums.json", "w");
    double energy = 0;
    if (!work || !unset || !table || !sums)
        return 2;
    fprintf(table, strcmp(kind, "missing") ? "x,位移 u,w\n" : "x,w\n");
    for (int i = 0; i < COUNT; i++) {
        double x = i * 0.125, u = sin(x), w = x / 7;
        if (i == 4)
            w = nextafter(w, 9); /* within the tolerance of one */
        if (!strcmp(kind, "ulp") && i == 17)
            w = nextafter(nextafter(w, 9), 9);
        if (!strcmp(kind, "nan") && i == 11)
            u = NAN;
        if (!strcmp(kind, "unsteady") && i == 19 && runs() / 2 % 2)
            w = nextafter(w, 9);
        if (!strcmp(kind, "unset") && i == 6)
            w = nextafter(w, ((const volatile unsigned char *)unset)[8 * 700 + 1] ? 9 : w);
        energy += w * w;
        if (strcmp(kind, "missing"))
            fprintf(table, "%.17g,%.17g,%.17g\n", x, u, w);
        else
            fprintf(table, "%.17g,%.17g\n", x, w);
    }
    fprintf(sums, "{\"energies\": {\"kinetic\": [%.17g, [%.17g]]}}\n", energy, -energy / 2);
    return fclose(table) || fclose(sums);
}
