"""Is pruning worth it: a pruned network against networks trained small."""
