"""`perennial simulate`: a task's history played once more, under the policy on record or under others."""
