# Fuel consumption of cars (mtcars ships with R): a spline regression, and its error by cross-validation.
library(splines)

DEGREES <- 3       # of freedom of the spline of each feature
PENALTY <- 1.0     # ridge penalty
FEATURES <- "few"  # few, some or all
LOG <- FALSE       # model the logarithm

features <- switch(FEATURES, few = c("wt"), some = c("wt", "hp"), all = c("wt", "hp", "disp", "qsec"))
cars <- mtcars[order(rownames(mtcars)), ]
y <- if (LOG) log(cars$mpg) else cars$mpg
X <- do.call(cbind, lapply(features, function(name) scale(ns(cars[[name]], df = DEGREES))))

ridge <- function(X, y) {
  center <- mean(y)
  weights <- solve(crossprod(X) + PENALTY * diag(ncol(X)), crossprod(X, y - center))
  function(X) center + X %*% weights
}

errors <- sapply(1:8, function(fold) {
  held <- seq_along(y) %% 8 == fold - 1
  predicted <- ridge(X[!held, , drop = FALSE], y[!held])(X[held, , drop = FALSE])
  if (LOG) predicted <- exp(predicted)
  cars$mpg[held] - predicted
})
cat(sprintf("rmse: %.4f\n", sqrt(mean(unlist(errors)^2))))
