-- name: lock_history
-- One at a time stores events of earlier days; held by the connection.
SELECT pg_try_advisory_lock(hashtext('maicivy.history'));

-- name: unlock_history
-- Let the next one in.
SELECT pg_advisory_unlock(hashtext('maicivy.history'));

-- name: add_visits
-- Count the visits ($2) that visitors ($1) began within one batch, after their first in it.
UPDATE visitors AS v
SET visit_count = v.visit_count + more.visits
FROM unnest($1::uuid[], $2::integer[]) AS more (id, visits)
WHERE v.id = more.id;

-- name: select_log_imports
-- Which logs were read, and how far.
SELECT id, head_bytes, head, read_bytes, digest FROM log_imports ORDER BY read_bytes DESC, id;

-- name: start_log_import
-- Note how far a log was read for the first time.
INSERT INTO log_imports (head_bytes, head, read_bytes, digest, updated_at)
VALUES ($1, $2, $3, $4, $5)
RETURNING id;

-- name: advance_log_import
-- Note how far a log is read now.
UPDATE log_imports SET read_bytes = $2, digest = $3, updated_at = $4 WHERE id = $1;

-- name: forget_log_imports
-- Logs that were read before $1 have only lines that would be too old today.
DELETE FROM log_imports WHERE updated_at < $1;

-- name: count_all_events
-- How many events were ever counted.
SELECT coalesce(sum(events), 0)::bigint FROM rollup_periods WHERE period = 'month';

-- name: select_is_demo
-- Whether the first events were made up.
SELECT is_demo FROM installation;

-- name: mark_demo
-- Remember that the events are made up.
UPDATE installation SET is_demo = true;
