# How far (x, y) is from (1, -2), squared: printed as `loss: VALUE`, which is all that Orchestune needs.
set -eu
echo "loss: $(awk -v x="$1" -v y="$2" 'BEGIN { print (x - 1) ^ 2 + (y + 2) ^ 2 }')"
