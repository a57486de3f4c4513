// A perceptron with a margin learns to tell two clouds of points apart.
package main

import (
	"flag"
	"fmt"
	"math/rand"
)

func main() {
	rate := flag.Float64("rate", 0.1, "learning rate")
	margin := flag.Float64("margin", 0.1, "how sure it has to be")
	epochs := flag.Int("epochs", 5, "passes over the data")
	flag.Parse()

	random := rand.New(rand.NewSource(1))
	cloud := func() (x [2]float64, side float64) {
		side = float64(2*random.Intn(2) - 1)
		return [2]float64{side + random.NormFloat64(), 0.5*side + random.NormFloat64()}, side
	}
	var weights [3]float64
	score := func(x [2]float64) float64 { return weights[0]*x[0] + weights[1]*x[1] + weights[2] }
	for i := 0; i < *epochs*200; i++ {
		x, side := cloud()
		if side*score(x) < *margin {
			weights[0] += *rate * side * x[0]
			weights[1] += *rate * side * x[1]
			weights[2] += *rate * side
		}
	}
	right := 0
	for i := 0; i < 2000; i++ {
		if x, side := cloud(); side*score(x) > 0 {
			right++
		}
	}
	fmt.Printf("accuracy=%g\n", float64(right)/2000)
}
