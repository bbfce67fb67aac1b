"""Layout space, pruning and Pareto fronts; knows an evaluator, not the physics."""
