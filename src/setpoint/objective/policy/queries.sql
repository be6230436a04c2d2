-- name: holds
-- Which rules are in force for which objectives, as far as it was told.
SELECT policy, rule, objective, service, releases, since_ms FROM policy_holds;

-- name: add_hold
-- A rule came into force for an objective.
INSERT INTO policy_holds (policy, rule, objective, service, releases, since_ms)
VALUES (:policy, :rule, :objective, :service, :releases, :since_ms)
ON CONFLICT (policy, rule, objective) DO NOTHING;

-- name: drop_hold
-- A rule is no longer in force for an objective.
DELETE FROM policy_holds WHERE policy = :policy AND rule = :rule AND objective = :objective;
