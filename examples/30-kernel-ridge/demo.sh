#!/bin/sh
# Draw 60 settings at random, search as many, and compare both.
set -e
echo "First, for comparison, 60 settings at random (10 s on two cores):"
random=$(orchestune run --detach --set name=random --set engine=random)
orchestune wait "$random"
echo
echo "Now as many by a search:"
orchestune run
search=$(orchestune status --limit 1 --json | sed -n 's/^ *"handle": "\(.*\)",$/\1/p' | head -n 1)
echo
orchestune compare "$random" "$search"
echo
echo "All of it as a page (the link works once, within five minutes):"
orchestune ui "$search" --print
