/* Ackley's function (D. H. Ackley, A Connectionist Machine for Genetic Hillclimbing, 1987) at a point of the plane. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **words) {
    if (count != 3) {
        fprintf(stderr, "usage: ackley X Y\n");
        return 2;
    }
    const double pi = acos(-1.0), x = atof(words[1]), y = atof(words[2]);
    double value = -20 * exp(-0.2 * sqrt((x * x + y * y) / 2)) - exp((cos(2 * pi * x) + cos(2 * pi * y)) / 2);
    printf("height=%.9g\n", value + exp(1.0) + 20);
    return 0;
}
