import java.util.HashMap;
import java.util.Map;
import java.util.Random;

/** Simulated annealing on Rastrigin's function in five dimensions. */
public class Anneal {
    static double height(double[] at) {
        double sum = 10 * at.length;
        for (double x : at) sum += x * x - 10 * Math.cos(2 * Math.PI * x);
        return sum;
    }

    public static void main(String[] words) {
        Map<String, Double> options = new HashMap<>();
        for (String word : words) {
            String[] parts = word.substring(2).split("=", 2);
            options.put(parts[0], Double.parseDouble(parts[1]));
        }
        double temperature = options.getOrDefault("temperature", 10.0);
        double cooling = options.getOrDefault("cooling", 0.999);
        double width = options.getOrDefault("width", 0.5);

        Random random = new Random(1);
        double[] at = {4.5, -3.2, 2.7, -4.1, 3.9};
        double now = height(at), best = now;
        for (int step = 0; step < 20_000; step++, temperature *= cooling) {
            double[] next = at.clone();
            next[random.nextInt(next.length)] += width * random.nextGaussian();
            double then = height(next);
            if (then < now || random.nextDouble() < Math.exp((now - then) / temperature)) {
                at = next;
                now = then;
                best = Math.min(best, now);
            }
        }
        System.out.println("minimum: " + best);
    }
}
