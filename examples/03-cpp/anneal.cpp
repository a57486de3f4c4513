// Simulated annealing on a round trip through 120 random cities; its parameters arrive as environment variables.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

using City = std::pair<double, double>;

double distance(const City& a, const City& b) { return std::hypot(a.first - b.first, a.second - b.second); }

double length(const std::vector<City>& tour) {
    double sum = distance(tour.back(), tour.front());
    for (std::size_t i = 1; i < tour.size(); ++i) sum += distance(tour[i - 1], tour[i]);
    return sum;
}

std::string parameter(const char* name) {
    const char* value = std::getenv(name);
    if (value == nullptr) {
        std::fprintf(stderr, "%s is not set; start this with: orchestune run\n", name);
        std::exit(2);
    }
    return value;
}

}  // namespace

int main() {
    double temperature = std::stod(parameter("ORCHESTUNE_PARAM_TEMPERATURE"));
    const double cooling = std::stod(parameter("ORCHESTUNE_PARAM_COOLING"));
    const bool reverse = parameter("ORCHESTUNE_PARAM_MOVES") == "reverse";

    std::mt19937 cities_random(7);  // the same cities for every trial
    std::uniform_real_distribution<double> place(0, 1);
    std::vector<City> tour(120);
    for (auto& city : tour) city = {place(cities_random), place(cities_random)};

    const char* seed = std::getenv("ORCHESTUNE_SEED");
    std::mt19937 random(seed ? static_cast<unsigned>(std::stoul(seed)) : 0u);
    std::uniform_int_distribution<std::size_t> pick(0, tour.size() - 1);
    double current = length(tour);
    for (int step = 0; step < 40000; ++step) {
        auto candidate = tour;
        std::size_t from = pick(random), to = pick(random);
        if (from > to) std::swap(from, to);
        if (reverse) {
            std::reverse(candidate.begin() + static_cast<long>(from), candidate.begin() + static_cast<long>(to) + 1);
        } else {
            std::swap(candidate[from], candidate[to]);
        }
        const double next = length(candidate);
        if (next < current || place(random) < std::exp((current - next) / temperature)) {
            tour = std::move(candidate);
            current = next;
        }
        if (step % 20 == 0) temperature *= cooling;
        if (step % 10000 == 9999) std::printf("tour_length=%.4f after %d steps\n", current, step + 1);
    }
    return 0;
}
